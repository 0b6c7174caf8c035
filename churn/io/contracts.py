"""Source contracts: the shipped ones, and those in a user's own file."""

import tomllib
from pathlib import Path

from churn.core.events import SourceContract
from churn.errors import BadInput
from churn.settings import Settings

_CONTRACTS = Path(__file__).resolve().parent.parent / "contracts"


def contract_of(settings: Settings) -> SourceContract:
    """The contract of the settings, with their horizon where they set one. Raises BadInput."""
    contract = load_contract(settings.contract)
    days = settings.horizon_days
    return contract if days is None else contract.model_copy(update={"horizon_days": days})


def load_contract(name: str) -> SourceContract:
    """A shipped contract by name, or any TOML file by path. Raises BadInput."""
    path = Path(name) if name.endswith(".toml") else _CONTRACTS / f"{name}.toml"
    if not path.is_file():
        shipped = sorted(p.stem for p in _CONTRACTS.glob("*.toml"))
        raise BadInput(f"there is no source contract {name!r}: give one of {shipped} or the path of a .toml file")
    try:
        return SourceContract.parse(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise BadInput(f"{path} is not valid TOML: {e}") from e
