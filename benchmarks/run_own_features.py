"""This project's features as a peer: ``python -m benchmarks.run_own_features HOME core|all FOUND.parquet AS_OF_DAY …``

All cut-offs by one statement over the events, on the engine that the settings name; nothing is kept. Says `start` and
`stop` around what counts.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.plain_features import mark, partitions
from churn.core.features import CORE_FEATURES, FEATURES, features_sql, session_days_sql
from churn.io.engines.chosen import engine_of
from churn.settings import Settings


def main(home: Path, which: str, found: Path, days: list[int]) -> None:
    """Compute, then write."""
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    features = {"core": CORE_FEATURES, "all": FEATURES}[which]
    mark("start")
    events = [Path(path) for path in partitions(str(home / "events"), max(days))]
    with engine_of(settings)({"events": events}) as engine:
        engine.register("snapshots", pa.table({"as_of_day": pa.array(days, pa.int64())}))
        table = engine.table(features_sql(f"({session_days_sql('events')})", "snapshots", features))
    mark("stop")
    pq.write_table(table, found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), [int(day) for day in sys.argv[4:]])
