"""Score a night in shares, side by side: planned once, scored one by one, gathered by `publish_scores`.

The plan settles the version and the features, so that all shares are of the same, also when another version goes into
production in between.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from churn.core.model import ChurnModel
from churn.errors import BadInput, NotReady
from churn.io.engines.chosen import Scorer, scorer_of
from churn.io.lake import Lake, fingerprint
from churn.io.registry import Registry
from churn.io.score_shards import Scored, Shard, read_rows, read_shards, write_shard
from churn.io.scorebook import KEPT_REASONS
from churn.settings import Settings
from churn.steps.forecaster import forecaster


@dataclass(frozen=True)
class ShardPlan:
    """The shares of a night."""

    as_of: str
    model_version: str
    customers: int
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class ShardReport:
    """What was scored of a night, and where it waits to be published."""

    as_of: str
    model_version: str
    shard: str
    customers: int
    path: str


def plan_shards(settings: Settings, as_of: date) -> ShardPlan:
    """Part the night into ``settings.score_shards`` shares, or fewer where there are fewer customers.

    On Spark the night is one: it parts the work itself. Raises NotReady without features or without a Production
    model, BadInput where the model knows the outcomes.
    """
    path = features_of(settings, as_of)
    version = forecaster(Registry(settings), as_of).version
    customers, made_of = pq.ParquetFile(path).metadata.num_rows, fingerprint(path)
    count = 1 if settings.engine == "spark" else max(1, min(settings.score_shards, customers))
    shards = tuple(Shard(str(as_of), version, made_of, number, count) for number in range(count))
    return ShardPlan(str(as_of), version, customers, shards)


def score_shard(settings: Settings, shard: Shard) -> ShardReport:
    """Score one share and keep it until it is published. The same shard again gives the same bytes.

    Raises NotReady where the features are not those of the plan any more.
    """
    lake, path = Lake(settings.data_home), _planned_features(settings, shard)
    rows = shard.rows(pq.ParquetFile(path).metadata.num_rows)
    features = read_rows(path, rows).to_pandas()
    registry = Registry(settings)
    _, model = registry.load(registry.version(shard.model_version)).best_for(list(features.columns))
    with scorer_of(settings, path) as scorer:
        write_shard(shard.path(lake), scored(model, features, scorer))
    told = f"{shard.number + 1} of {shard.of}"
    return ShardReport(shard.as_of, shard.model_version, told, len(features), str(shard.path(lake)))


def scored(model: ChurnModel, features: pd.DataFrame, scorer: Scorer) -> Scored:
    """What the model says of these customers, and why."""
    probability = scorer(model, features)
    return Scored(features["customer_id"].tolist(), probability, model.reasons(features, KEPT_REASONS))


def gather(settings: Settings, shards: tuple[Shard, ...]) -> Scored | None:
    """All shares of a plan in order; None when none of them is there any more, as after they were published.

    Raises NotReady where one is missing, or the features are not those of the plan any more.
    """
    first, lake = shards[0], Lake(settings.data_home)
    if list(shards) != [Shard(first.as_of, first.model_version, first.features, n, first.of) for n in range(first.of)]:
        raise BadInput(f"these are not the shards of one plan: {shards}")
    path = _planned_features(settings, first)
    if not first.folder(lake).is_dir():
        return None
    if missing := [shard.number + 1 for shard in shards if not shard.path(lake).is_file()]:
        raise NotReady(
            f"of the {first.of} shards as of {first.as_of}, {missing} are missing: nothing is published. Clear "
            "plan_shards and what follows it"
        )
    found = read_shards([shard.path(lake) for shard in shards])
    if found.customer_ids != pq.ParquetFile(path).read(["customer_id"])["customer_id"].to_pylist():
        raise NotReady(f"the shards as of {first.as_of} are of other customers than {path}: clear plan_shards")
    return found


def features_of(settings: Settings, as_of: date) -> Path:
    """The night's feature file. Raises NotReady without one."""
    path = Lake(settings.data_home).features(as_of)
    if not path.is_file():
        raise NotReady(f"there are no features as of {as_of}: run `churn features --as-of {as_of}` first")
    return path


def _planned_features(settings: Settings, shard: Shard) -> Path:
    path = features_of(settings, date.fromisoformat(shard.as_of))
    if fingerprint(path) != shard.features:
        raise NotReady(
            f"the features as of {shard.as_of} were built anew since the shards were planned: clear plan_shards and "
            "what follows it"
        )
    return path
