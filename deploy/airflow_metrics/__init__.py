"""Airflow's own metrics for Prometheus: takes what Airflow pushes by OpenTelemetry, and is scraped like any target.

__main__  the command line and the two addresses: /v1/metrics takes, /metrics gives
pushed    what a push holds, as points
totals    one sum over all processes, and the last run of each DAG; kept over restarts

Why not straight into Prometheus: every process of Airflow pushes under a name of its own, a task's process lives for
seconds and its counters never go beyond 1, so that a rate over them is 0; a forked process repeats what its parent had
counted; a run's duration comes as a histogram that only the scheduler of that day knows, and five minutes after the
scheduler's end nothing is left of it. And a process that cannot push loses seconds at its end.
"""
