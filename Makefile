# Needs Python 3.11 to 3.13 with pip and venv, and make (GNU make 3.81 or later). `make help` lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

UV_VERSION := 0.13.9
UV := .uv/bin/uv
BIN := .venv/bin

# The first interpreter whose version fits; `make PYTHON=/path/to/python ...` takes another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& command -v "$$python" && break; done)
# Behind pyenv's shims and activated environments: uv replaces an environment whose interpreter it does not recognise.
INTERPRETER = $(shell "$(PYTHON)" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')

# Byte code is compiled once, at installation: without it every server start takes several times as long.
unexport PYTHONDONTWRITEBYTECODE
export UV_PYTHON_DOWNLOADS = never

# A test module stays in one process, with what its tests share. More than four processes would want too much memory.
# ARGS="-n0 --pdb tests/core" runs them in this one, for a debugger.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile

# Without Java nothing is fetched for Spark: its tests and benchmarks say that they are left out.
SPARK_IF_JAVA := $(if $(shell command -v "$${JAVA_HOME:+$$JAVA_HOME/bin/}java"),spark)

help: ## List the targets
	@echo "usage: make <target>"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: .venv/.installed ## Create .venv from uv.lock; nothing to do when it is up to date
	@$(if $(filter $@,$(MAKECMDGOALS)),echo ".venv is what uv.lock says",:)

run: install ## Start MLflow, Airflow and the API, score customers for today; Ctrl-C stops all
	@exec $(BIN)/python -m deploy.local --with-parent $(ARGS)

spark: .venv-spark/.installed ## Create .venv-spark, what CHURN_ENGINE=spark runs in (450 MB; it needs Java 17 beside it)
	@$(if $(filter $@,$(MAKECMDGOALS)),echo ".venv-spark is what uv.lock says",:)

test: install $(SPARK_IF_JAVA) ## Run the test suite; ARGS="tests/core -x" narrows it
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-slow: install $(SPARK_IF_JAVA) ## Run the tests that `make test` leaves out because they take long (minutes)
	$(BIN)/python -m pytest $(PARALLEL) -m "slow and not e2e and not stack" $(ARGS)

e2e: install ## Start the whole platform on spare ports and try everything on it (minutes)
	$(BIN)/python -m pytest -m e2e $(ARGS)

stack-test: install ## Build the images, start the containers and try everything on them (minutes; needs docker)
	$(BIN)/python -m pytest -m "stack and not nights and not faults" $(ARGS)

secrets: install ## Print fresh passwords and keys for the containers, as lines for .env
	@$(BIN)/python -m deploy.stack.passwords

lint: install ## Check style, types and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if [ -x $(BIN)/hadolint ]; then echo "$(BIN)/hadolint deploy/*.Dockerfile"; \
	$(BIN)/hadolint --no-color --ignore DL3008 deploy/*.Dockerfile; fi # Debian drops the versions one would pin
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yaml
	@if docker compose version >/dev/null 2>&1; then echo "docker compose config"; docker compose config --quiet; fi

audit: install ## Look up known vulnerabilities of what uv.lock holds (asks osv.dev; says so where it is not reached)
	@mkdir -p build; $(UV) audit --preview-features audit-command --frozen 2>build/audit.txt; code=$$?; \
	if grep -q "^error: Request failed" build/audit.txt; then \
	echo "Not looked up: osv.dev was not reached. Nothing is known of the locked versions."; \
	else cat build/audit.txt >&2; exit $$code; fi

sbom: install ## Write the bill of materials of the images, CycloneDX, into build/
	@mkdir -p build
	@$(UV) export --quiet --preview-features sbom-export --frozen --no-dev --group stack --format cyclonedx1.5 \
	--output-file build/sbom-airflow.json >/dev/null
	@$(UV) export --quiet --preview-features sbom-export --frozen --only-group serving --format cyclonedx1.5 \
	--output-file build/sbom-api.json >/dev/null
	@ls build/sbom-*.json

format: install ## Format the code and fix what can be fixed by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install $(SPARK_IF_JAVA) ## How fast it is and how it grows, beside its peers (half an hour; ARGS="--write")
	@exec $(BIN)/python -m benchmarks $(ARGS)

bench-quality: install ## How good the models are, on public tables: benchmarks/RESULTS.md (half an hour)
	@exec $(BIN)/python -m benchmarks.quality $(ARGS)

bench-decisions: install ## How often the automatic decisions are wrong, on simulated services (hours; ARGS="--quick")
	@exec $(BIN)/python -m benchmarks.decisions $(ARGS)

bench-serving: install ## How fast the API answers beside its peers (ten minutes; needs wrk; ARGS="--write")
	@exec $(BIN)/python -m benchmarks.serving $(ARGS)

clean: ## Remove .venv, .venv-spark, .venv-peers, .uv and caches; keeps the data in .churn unless DATA=yes
	rm -rf .venv .venv-spark .venv-peers .uv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
ifeq ($(DATA),yes)
	rm -rf .churn
else
	@if [ -e .churn ]; then echo "Kept .churn (events, models, scores); 'make clean DATA=yes' removes it too."; fi
endif

.venv/.installed: pyproject.toml uv.lock .uv/.installed-$(UV_VERSION)
	@echo "Installing from uv.lock into .venv with $(INTERPRETER)"
	@rm -f $@
	$(UV) sync --frozen --compile-bytecode --python "$(INTERPRETER)"
	@touch $@

# Spark's own process finds the library by its path: nothing of it is installed there.
.venv-spark/.installed: pyproject.toml uv.lock .uv/.installed-$(UV_VERSION)
	@echo "Installing Spark from uv.lock into .venv-spark: 450 MB to fetch, once"
	@rm -f $@
	UV_PROJECT_ENVIRONMENT=.venv-spark $(UV) sync --frozen --only-group spark --compile-bytecode \
	--python "$(INTERPRETER)"
	@touch $@

.uv/.installed-$(UV_VERSION):
	@if [ -z "$(PYTHON)" ]; then \
	echo "No Python 3.11, 3.12 or 3.13 found (tried python3, python3.13, python3.12, python3.11)." >&2; \
	echo "Install one, or say where it is: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; fi
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v[:2] <= (3, 13) else \
	f"$(PYTHON) is Python {v[0]}.{v[1]}; this needs 3.11, 3.12 or 3.13. Set PYTHON to one of those.")'
	@echo "Fetching uv $(UV_VERSION) into .uv"
	@rm -rf .uv
	@"$(INTERPRETER)" -m venv .uv || { echo "Creating a virtual environment failed: $(PYTHON) needs the venv and pip \
	modules (on Debian: apt-get install python3-venv)." >&2; rm -rf .uv; exit 1; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@touch $@

.PHONY: help install run spark test test-slow e2e stack-test secrets audit sbom lint format bench bench-quality bench-decisions bench-serving clean
