# Airflow, the library, and MLflow's server: one image for everything but the API.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ARG UV_VERSION=0.13.9
ARG GROUP=stack
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_PROJECT_ENVIRONMENT=/opt/venv
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --quiet "uv==${UV_VERSION}"
WORKDIR /build
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv sync --frozen --no-dev --group "${GROUP}" --no-install-project --compile-bytecode
COPY README.md LICENSE ./
COPY churn churn
COPY serving serving
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv pip install --python /opt/venv --no-deps --compile-bytecode --quiet .
WORKDIR /app
COPY deploy deploy
COPY dags dags
COPY plugins plugins
RUN python -m compileall -q .

FROM ${PYTHON_IMAGE}
# The library's own user: nothing in here runs as root. The folders are those that volumes are mounted on: a new volume
# takes their owner.
RUN useradd --uid 10001 --no-create-home --home-dir /airflow --shell /usr/sbin/nologin churn \
 && mkdir -p /airflow/logs /churn/landing /churn/predictions /mlflow /state \
 && chown -R churn:churn /airflow /churn /mlflow /state
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/airflow \
    CHURN_HOME=/churn \
    DO_NOT_TRACK=true \
    GX_ANALYTICS_ENABLED=false \
    MLFLOW_DISABLE_TELEMETRY=true
USER 10001:10001
CMD ["churn", "--help"]
