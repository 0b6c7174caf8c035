"""Registers the console: one entry in Airflow's navigation, one tab on the page of each DAG."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/churn"


class Console:
    """The pages' application, made at the first request: Airflow loads plugins in every component and every task."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from churn_console.routes import app

        await app(scope, receive, send)


class ChurnConsole(AirflowPlugin):
    """Addresses have no slash in front: they follow Airflow when it is served under a path."""

    name = "churn_console"
    fastapi_apps = [{"app": Console(), "url_prefix": PREFIX, "name": "Churn console"}]  # noqa: RUF012 - Airflow's own
    external_views = [  # noqa: RUF012 - declarations
        {
            "name": "Churn",
            "href": "churn/",
            "destination": "nav",
            "url_route": "churn_console",
            "nav_top_level": True,
            "icon": "churn/static/icon.svg",
            "icon_dark_mode": "churn/static/icon-dark.svg",
        },
        {
            "name": "Churn",
            "href": "churn/dags/{DAG_ID}",
            "destination": "dag",
            "url_route": "churn_dag",
            "icon": "churn/static/icon.svg",
            "icon_dark_mode": "churn/static/icon-dark.svg",
        },
    ]
