"""One Airflow database and one parsed DAG folder for the whole test run."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Airflow, its providers and their dependencies warn of their own deprecations; nothing of ours can mend these.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="session")
def dag_bag() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.dag_processing.dagbag import BundleDagBag
        from airflow.utils.db import initdb

        initdb()
        folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        yield BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
