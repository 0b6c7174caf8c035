"""The assets that DAGs hand to each other. Each is declared here once, with who emits and who consumes it."""

from airflow.sdk import Asset

EVENTS = Asset(name="churn_events", uri="churn://events")
"""Canonical events have arrived. Emitted by ingest_events; read by score_nightly and retrain_model."""

SCORES = Asset(name="churn_scores", uri="churn://scores")
"""A night's scores are published. Emitted by score_nightly; read by the API and its page."""

PRODUCTION_MODEL = Asset(name="churn_production_model", uri="churn://production-model")
"""Another version is in production. Emitted by retrain_model; the API finds it by polling the registry."""
