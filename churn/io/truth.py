"""The answer that a generated log comes with: each customer's true hazard, day by day."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.errors import BadInput, NotReady

_COLUMNS = ("customer_id", "day", "hazard")


def true_hazards(path: Path, customers: pd.Series, day: date) -> NDArray[np.float64]:
    """The probability (n,) that each of ``customers`` (n,), at risk at the start of ``day``, cancels on it.

    Raises NotReady where there is no file, BadInput where it is not the truth of these customers' log.
    """
    if not path.is_file():
        raise NotReady(
            f"there is no {path}: the oracle needs the true hazards, which only a generated log has. `churn simulate` "
            "writes them beside its log: give that file with --truth PATH"
        )
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as e:  # pyarrow's ArrowInvalid is a ValueError
        raise BadInput(f"{path} is not a parquet file: {e}") from e
    if missing := [name for name in _COLUMNS if name not in file.schema_arrow.names]:
        raise BadInput(f"{path} lacks the columns {missing}: it is not the truth.parquet of `churn simulate`")
    table = file.read(columns=list(_COLUMNS))
    on_day = table.filter(pc.equal(table["day"].cast("date32"), day)).to_pandas()
    found = customers.map(on_day.set_index("customer_id")["hazard"]).to_numpy(dtype=np.float64)
    if unknown := int(np.isnan(found).sum()):
        raise BadInput(
            f"{path} has no hazard on {day} for {unknown:,} of the {len(found):,} customers at risk that day: it is "
            "the truth of another log"
        )
    return found
