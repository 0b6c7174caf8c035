# The API and its page: what scoring needs, nothing that trains, and no system around it.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ARG UV_VERSION=0.13.9
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_PROJECT_ENVIRONMENT=/opt/venv
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --quiet "uv==${UV_VERSION}"
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils >/dev/null && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY pyproject.toml uv.lock ./
# Left out: what MLflow's client needs for its cloud services alone, and what Plotly's Python does, of which a script is
# served. slim.py says what else goes, and why.
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv sync --frozen --only-group serving \
      --no-install-package cryptography --no-install-package cffi --no-install-package pycparser \
      --no-install-package gitpython --no-install-package gitdb --no-install-package smmap \
      --no-install-package databricks-sdk --no-install-package google-auth \
      --no-install-package pyasn1 --no-install-package pyasn1-modules \
      --no-install-package narwhals
COPY deploy/stack/slim.py deploy/stack/rootfs.py ./
RUN python slim.py /opt/venv && python rootfs.py /rootfs /opt/venv
COPY README.md LICENSE ./
COPY churn churn
COPY serving serving
# Beside the environment: another release of our own code is a layer of three megabytes.
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv pip install --python /opt/venv --no-deps --quiet --target /app . \
 && rm -rf /app/bin /app/.lock \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /app

FROM scratch
COPY --from=build /rootfs/ /
COPY --from=build /app /app
WORKDIR /churn
ENV PATH=/opt/venv/bin \
    PYTHONPATH=/app \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CHURN_HOME=/churn \
    CHURN_API_HOST=0.0.0.0 \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true
USER 10001:10001
EXPOSE 8000
# Ready means: it has a model and takes requests. It asks itself, so no curl is needed.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-m", "serving.probe"]
CMD ["python", "-m", "serving"]
