#!/bin/sh
# Run once, by PostgreSQL's image, when its volume is new: a database and a role of its own for each of the three, who
# cannot look into the others'.
set -eu
for pair in "airflow:$AIRFLOW_DB_PASSWORD" "mlflow:$MLFLOW_DB_PASSWORD" "churn:$CHURN_DB_PASSWORD"; do
  name=${pair%%:*}
  psql -v ON_ERROR_STOP=1 -v name="$name" -v password="${pair#*:}" -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
create role :"name" login password :'password';
create database :"name" owner :"name";
revoke all on database :"name" from public;
SQL
done
