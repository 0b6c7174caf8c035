"""``make run``: MLflow, Airflow and the API on this machine, under one supervisor.

__main__      the command line: lock, signals, exit code
first_start   the story: start, ingest, retrain, score, stay
supervisor    starts, watches, restarts and ends services
guard         ends them when the supervisor itself was killed
processes     finding and ending processes by identity
services      what is started, as data
airflow_home  Airflow's settings and secrets
airflow_api   Airflow's REST API
schedule      which DAGs are switched on, and when
state         what an earlier start left: a model, scores
preflight     what must be true before anything starts: a free home, free ports
console       what is printed
"""
