"""Validate: the feature table of a night, against the range each feature may have."""

from dataclasses import asdict, dataclass
from datetime import date

import pyarrow.parquet as pq

from churn.core.features import FEATURES
from churn.errors import ContractViolation, NotReady
from churn.io.lake import Lake, write_json
from churn.io.validation import validate_features as check
from churn.settings import Settings


@dataclass(frozen=True)
class ValidationReport:
    """How many expectations were checked on how many customers. All of them held."""

    as_of: str
    customers: int
    expectations: int


def validate_features(settings: Settings, as_of: date) -> ValidationReport:
    """Raises ContractViolation naming every expectation that failed; the findings are kept under ``reports/``."""
    lake = Lake(settings.data_home)
    path = lake.features(as_of)
    if not path.is_file():
        raise NotReady(f"there are no features as of {as_of}: run `churn features --as-of {as_of}` first")
    found = check(pq.ParquetFile(path).read().to_pandas(), FEATURES)
    write_json(lake.reports / f"features_validation/as_of={as_of}.json", asdict(found))
    if not found.success:
        failed = "\n".join(f"- {f.rule}: {f.unexpected:,} of {f.checked:,} customers" for f in found.failures)
        raise ContractViolation(f"the features as of {as_of} are not fit to be scored:\n{failed}")
    return ValidationReport(str(as_of), found.rows, len(found.findings))
