"""A schedule that runs on a clock and on an asset's events, with the date as partition key either way.

Airflow 3.3's ``AssetOrTimeSchedule`` is not partitioned, and an event that carries a partition key starts partitioned
DAGs only: a night's scores would never start it. Its ``PartitionedAssetTimetable`` has no clock. This is both in one.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Self

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import Asset
from airflow.serialization.decoders import decode_asset_like
from airflow.serialization.definitions.assets import SerializedAssetBase
from airflow.serialization.encoders import encode_asset_like
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.simple import PartitionedAssetTimetable
from airflow.timetables.trigger import CronPartitionTimetable
from airflow.utils.types import DagRunType
from pendulum import DateTime

JUST_NOW = timedelta(minutes=1)
"""A tick that passed before the first start is not made up for; one that passed this short a while ago is.

Until a DAG has had a scheduled run, its first tick is computed anew whenever its file is read, which is every few
seconds: at the very tick, it could be moved away before the scheduler has seen it."""


class DatedOrOnAsset(PartitionedAssetTimetable):
    """``cron`` is in UTC; an event's partition key becomes the run's as it is."""

    periodic = True

    def __init__(self, cron: str, *, asset: Asset | SerializedAssetBase) -> None:
        super().__init__(assets=asset)
        self._cron = cron
        self._clock = CronPartitionTimetable(cron, timezone="UTC", key_format="%Y-%m-%d", run_immediately=JUST_NOW)
        self.description = f"{self._clock.description} (UTC), or on {' or '.join(self._names())}"

    def _names(self) -> list[str]:
        return [key.name for key, _ in self.asset_condition.iter_assets()]

    @property
    def summary(self) -> str:
        return f"{self._cron} or {' or '.join(self._names())}"

    def serialize(self) -> dict[str, Any]:
        return {"cron": self._cron, "asset": encode_asset_like(self.asset_condition)}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        return cls(data["cron"], asset=decode_asset_like(data["asset"]))

    # What the clock knows; everything else is the asset's.

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        return self._clock.next_dagrun_info_v2(last_dagrun_info=last_dagrun_info, restriction=restriction)

    def iter_partition_dagrun_infos(self, *, earliest: datetime, latest: datetime) -> Iterable[DagRunInfo]:
        return self._clock.iter_partition_dagrun_infos(earliest=earliest, latest=latest)

    def _decode_partition_date(self, partition_key: str) -> datetime | None:
        return self._clock.resolve_partition_date(partition_key)

    def generate_run_id(
        self, *, run_type: DagRunType, run_after: DateTime, data_interval: DataInterval | None, **extra: Any
    ) -> str:
        return self._clock.generate_run_id(run_type=run_type, run_after=run_after, data_interval=data_interval, **extra)


class ChurnTimetables(AirflowPlugin):
    """Registers the schedule, so that the scheduler and the API server can read DAGs that have it."""

    name = "churn_timetables"
    timetables = [DatedOrOnAsset]  # noqa: RUF012 - Airflow's own declaration
