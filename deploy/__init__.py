"""How the platform is started. Imports ``churn`` for its settings, never Airflow, MLflow or FastAPI."""
