"""``make run``: MLflow, Airflow and the API on this machine, under one supervisor.

__main__      the command line: lock, signals, exit code
first_start   the story: start, bring scores up to date, stay
catch_up      ingest, train, score; and what happens when one of them does not
runs          one DAG run, from switching it on to its end
supervisor    starts, watches, restarts and ends services
signals       how it learns that it should stop
census        every process that was started, and how all of them are ended
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
