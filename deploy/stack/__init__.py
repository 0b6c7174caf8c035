"""What the containers run beside Airflow, MLflow and the API themselves."""
