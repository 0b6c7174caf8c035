"""The assets that DAGs hand to each other. Each is declared here once, with who emits and who consumes it."""

from airflow.sdk import Asset

EVENTS = Asset(name="churn_events", uri="churn://events")
"""Canonical events have arrived. Emitted by ingest_events; read by score_nightly and retrain_model."""

SCORES = Asset(name="churn_scores", uri="churn://scores")
"""A night's scores are published. Emitted by score_nightly, with their date as partition key; starts monitor_model,
and the API and its page read them."""

RETRAIN_REQUESTED = Asset(name="churn_retrain_requested", uri="churn://retrain-requested")
"""An alarm asks for a new model. Emitted by score_nightly (drift that persists) and monitor_model (degradation, early
warning), with the date as partition key and ``reason`` and ``as_of`` beside it; starts retrain_model."""

PRODUCTION_MODEL = Asset(name="churn_production_model", uri="churn://production-model")
"""Another version is in production. Emitted by retrain_model and rollback_model; the API finds it by polling the
registry."""
