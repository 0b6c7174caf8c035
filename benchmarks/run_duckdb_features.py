"""The core features by plain SQL on DuckDB: ``python run_duckdb_features.py EVENTS FOUND.parquet AS_OF_DAY …``

One statement for each cut-off, one after the other. Says `start` and `stop` around what counts.
"""

import sys
from pathlib import Path

import duckdb  # noqa: TID251 - by itself, as a peer
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.append(str(Path(__file__).parent))
from plain_features import features_sql, mark, partitions


def main(events: str, found: str, days: list[int]) -> None:
    """Compute, then write."""
    mark("start")
    connection = duckdb.connect()
    tables = []
    for day in days:
        connection.execute(f"create or replace view events as select * from read_parquet({partitions(events, day)})")
        # DuckDB's `row` is `struct` elsewhere.
        tables.append(connection.sql(features_sql("events", day).replace("struct(", "row(")).to_arrow_table())
    table = pa.concat_tables(tables)
    mark("stop")
    pq.write_table(table, found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(day) for day in sys.argv[3:]])
