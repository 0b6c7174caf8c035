"""Customer churn prediction: the library. It knows neither Airflow nor FastAPI."""

__version__ = "0.1.0"
