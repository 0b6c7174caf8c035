"""SQL that reads raw text as a value, alike on every engine: null where it cannot be read.

Engines cast text each in its own way ('1_000', '1d', 'Infinity', '0x1F', a time with an offset), so what a cast is
given here is first held against a spelling that all of them read alike.
"""

from churn.core.events import DAY_MS

_BLANKS = " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
"""Unicode's spaces, as a class of characters."""
_EVERY_BLANK = _BLANKS.replace("\u2000-\u200a", "".join(map(chr, range(0x2000, 0x200B))))

_NUMBER = r"^[+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][+-]?[0-9]+)?\z"
_LARGEST = "1.7976931348623157e308"
_LARGEST_WHOLE = "9e18"
"""About where 64 bits end; of the numbers just there, engines differ in which ones fit."""

_TIME = (
    r"^([12][0-9]{3}[-/][0-9]{1,2}[-/][0-9]{1,2})"
    r"(?:[T ]([01]?[0-9]|2[0-3]):([0-5]?[0-9])(?::([0-5]?[0-9])(?:[.]([0-9]{1,9}))?)?"
    r" ?(?:Z|UTC|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?)?\z"
)
"""A day of the years 1000 to 2999; a time of day; an offset from UTC, in which the time is if none is given."""
_DAY, _HOUR, _MINUTE, _SECOND, _FRACTION, _SIGN, _OFF_HOUR, _OFF_MINUTE = range(1, 9)


def text_sql(column: str) -> str:
    """Text without outer blanks, empty as null."""
    # Trimming by a list is slow, and hardly any text needs it.
    outer = f"regexp_matches({column}, '^[{_BLANKS}]|[{_BLANKS}]$')"
    return f"nullif(case when {outer} then trim({column}, '{_EVERY_BLANK}') else {column} end, '')"


def id_sql(text: str) -> str:
    """A whole number written as '39.0' is the same id as '39'."""
    is_whole = f"{text} like '%.0' and regexp_matches({text}, '^[0-9]+[.]0$')"
    return f"case when {is_whole} then substr({text}, 1, length({text}) - 2) else {text} end"


def number_sql(text: str) -> str:
    """A finite double; zero has no sign, by which engines would tell equal numbers apart."""
    number = _double(text)
    return f"case when {number} = 0 then cast(0 as double) when abs({number}) <= {_LARGEST} then {number} end"


def whole_number_sql(text: str, sql_type: str, *, times: int = 1) -> str:
    """A whole number, so many times; '1.5e9' and '12.0' are whole too."""
    number = _double(text)
    product = number if times == 1 else f"{number} * {times}"
    is_whole = f"abs({number}) < {_LARGEST_WHOLE} and {number} = floor({number})"
    return f"case when {is_whole} then try_cast({product} as {sql_type}) end"


def time_sql(text: str) -> str:
    """Epoch milliseconds of a date, or of a date and time; what is beyond milliseconds is cut off."""
    minutes = f"{_whole(text, _HOUR)} * 60 + {_whole(text, _MINUTE)}"
    offset = f"{_whole(text, _OFF_HOUR)} * 60 + {_whole(text, _OFF_MINUTE)}"
    signed = f"case when {_part(text, _SIGN)} = '-' then -1 else 1 end * ({offset})"
    milliseconds = f"cast(substr(concat({_part(text, _FRACTION)}, '000'), 1, 3) as bigint)"
    day = f"try_cast(replace({_part(text, _DAY)}, '/', '-') as date)"
    return (
        f"cast(date_diff('day', date '1970-01-01', {day}) as bigint) * {DAY_MS}"
        f" + ({minutes} - {signed}) * 60000 + {_whole(text, _SECOND)} * 1000 + {milliseconds}"
    )


def day_sql(text: str) -> str:
    """The UTC day of a date, or of a date and time, as text."""
    number = f"cast(floor(cast({time_sql(text)} as double) / {DAY_MS}) as integer)"
    return f"cast(date '1970-01-01' + {number} as varchar)"


def _double(text: str) -> str:
    return f"case when regexp_matches({text}, '{_NUMBER}') then try_cast({text} as double) end"


def _part(text: str, group: int) -> str:
    """A part of a time; empty when it is not given, or the text is no time."""
    return f"regexp_extract({text}, '{_TIME}', {group})"


def _whole(text: str, group: int) -> str:
    return f"coalesce(try_cast({_part(text, group)} as bigint), 0)"
