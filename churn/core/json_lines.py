"""JSON objects, one a line, as the raw columns of a contract: read alike from files and from requests."""

from churn.core.events import SourceContract


def json_lines_sql(contract: SourceContract, lines: str) -> str:
    """``line_no``, ``malformed`` and the contract's raw columns as text, from ``lines``: ``line_no`` and ``line``."""
    paths = ", ".join("'$.\"" + source.replace("'", "''") + "\"'" for source in contract.sources)
    columns = ", ".join(f'v[{i + 1}] as "{source}"' for i, source in enumerate(contract.sources))
    # `try`: a line that is no JSON gives null instead of ending the query; one parse for all columns.
    return f"""
select line_no, v is null as malformed, {columns}
from (select line_no, case when starts_with(ltrim(line), '{{') then try(json_extract_string(line, [{paths}])) end as v
  from {lines} as numbered
  where line is not null) as objects"""
