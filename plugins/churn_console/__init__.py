"""The churn console: pages inside Airflow's UI. ``plugin.py`` registers them, ``routes.py`` serves them."""
