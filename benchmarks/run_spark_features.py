"""The core features by plain SQL on Spark: ``python run_spark_features.py EVENTS FOUND.parquet AS_OF_DAY …``

Two local cores and the same statement as DuckDB's, for each cut-off. Says `start` and `stop` around what counts: Java
and the session are up by then.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession  # noqa: TID251 - by itself, as a peer

sys.path.append(str(Path(__file__).parent))
from plain_features import features_sql, mark, partitions


def main(events: str, found: str, days: list[int]) -> None:
    """Compute, then write."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "6g")
        .config("spark.sql.shuffle.partitions", "4")  # as many as two cores need, in place of 200
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    mark("start")
    tables = []
    for day in days:
        spark.read.parquet(*partitions(events, day)).createOrReplaceTempView("events")
        tables.append(spark.sql(features_sql("events", day)).toArrow())
    table = pa.concat_tables(tables)
    mark("stop")
    spark.stop()
    pq.write_table(table, found)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(day) for day in sys.argv[3:]])
