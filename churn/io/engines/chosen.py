"""The engine that the settings name."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from churn.core.arrays import Floats
from churn.io.engines.duckdb import open_engine
from churn.io.engines.engine import Opener
from churn.io.engines.spark_process import SparkProcess, open_process, open_spark, spark_scores
from churn.settings import Settings

if TYPE_CHECKING:  # steps that score nothing open engines too: they need not wait for xgboost and what it brings
    import pandas as pd

    from churn.core.model import ChurnModel

Scorer = Callable[["ChurnModel", "pd.DataFrame"], Floats]
"""A model's probabilities (n,) of a feature table."""


def engine_of(settings: Settings) -> Opener:
    """What opens it."""
    if settings.engine == "spark":
        return partial(
            open_spark,
            master=settings.spark_master,
            options=settings.spark_options,
            python=settings.spark_python,
            home=settings.data_home,
        )
    return partial(open_engine, megabytes=settings.engine_megabytes, home=settings.data_home)


@contextmanager
def scorer_of(settings: Settings, path: Path) -> Iterator[Scorer]:
    """What scores the table that lies in the file ``path``: on Spark, all models in one process, begun by the first."""
    if settings.engine != "spark":
        yield lambda model, features: model.predict_proba(features)
        return
    with ExitStack() as stack:

        @cache
        def process() -> SparkProcess:
            opened = open_process(
                settings.spark_master, settings.spark_options, settings.spark_python, settings.data_home
            )
            return stack.enter_context(opened)

        yield lambda model, features: spark_scores(model, features, process=process(), path=path)
