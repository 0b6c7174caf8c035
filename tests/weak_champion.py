"""A champion that any honest challenger beats: trained on outcomes that are nearly all turned round."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from churn.io.lake import Lake, write_parquet
from churn.io.registry import ModelVersion, Registry
from churn.settings import Settings
from churn.steps.build_panel import build_panel
from churn.steps.train import train_on_panel


def put_weak_champion(settings: Settings, as_of: date, *, seed: int = 1) -> ModelVersion:
    """Train one as of then and put it into production. Readable, with all its tags; the panel is the true one again."""
    build_panel(settings, as_of)
    path = Lake(settings.data_home).panel(as_of)
    panel = pq.ParquetFile(path).read()
    place = panel.schema.get_field_index("churned")
    field = panel.schema.field(place)
    # The few that stay as they are make it another model for every seed.
    turned = np.random.default_rng(seed).random(len(panel)) > 0.1
    wrong = pa.array(np.abs(panel["churned"].to_numpy() - turned), type=field.type)
    write_parquet(path, panel.set_column(place, field, wrong))
    version = train_on_panel(settings, as_of, "outcomes turned round").model_version
    build_panel(settings, as_of)
    registry = Registry(settings)
    registry.promote(registry.version(version), "a weak champion for a test")
    return registry.version(version)
