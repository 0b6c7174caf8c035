"""The HTTP service: scores customers with the Production model, and shows the page. Knows no Airflow."""
