"""The extended features: recent windows, trends, rates, plan changes and gaps between visits.

The core totals grow with the log, so that a model of them drifts from one cut-off to the next. Nearly all of these do
not: they look at the last days only, or divide by the visits or days they were counted over.
"""

from churn.core.feature import CENTURY_DAYS, Feature

_RATES = 1e6
_DAYS_OBSERVED = "(as_of_day - first_day)"
"""Days on which the customer could have come, the first one included: at least 1, so that no rate explodes."""


def _recent(name: str, column: str, days: int, meaning: str, phrase: str, example: float) -> Feature:
    return Feature(
        f"{name}_{days}d", f"{column}_{days}d", "count", "count", 0, 1e9,
        f"{meaning} in the last {days} days", example, f"{{}} {phrase} in the last {days} days",
    )  # fmt: skip


def _active_days(days: int, example: float) -> Feature:
    return Feature(
        f"active_days_{days}d", f"active_days_{days}d", "count", "active days", 0, days,
        f"days with an event among the last {days}", example, f"{{}} active days in the last {days}",
    )  # fmt: skip


def _session_time(days: int, example: float) -> Feature:
    return Feature(
        f"session_time_{days}d", f"cast(session_ms_{days}d as double) / 1000", "seconds", "seconds", 0, 1e8,
        f"time in sessions in the last {days} days; over midnight it counts for the later day", example,
        f"{{}} minutes spent in the last {days} days", 1 / 60,
    )  # fmt: skip


def _trend_7d(name: str, column: str, what: str, phrase: str, example: float) -> Feature:
    # Against 28 days that include the 7: it stays within 0 and 4, and is 1 for who has been here for a week only.
    sql = _ratio(f"{column}_7d * least({_DAYS_OBSERVED}, 28)", f"{column}_28d * least({_DAYS_OBSERVED}, 7)")
    return Feature(
        f"{name}_trend_7d", sql, "ratio", "ratio of rates", 0, 4,
        f"{what} per day observed in the last 7 days, relative to the last 28", example,
        f"{phrase} in the last 7 days at {{}}% of the 4-week rate", 100,
    )  # fmt: skip


def _trend_28d(name: str, column: str, what: str, phrase: str, example: float) -> Feature:
    sql = _ratio(f"{column}_28d * {_DAYS_OBSERVED}", f"{column} * least({_DAYS_OBSERVED}, 28)")
    return Feature(
        f"{name}_trend_28d", sql, "ratio", "ratio of rates", 0, CENTURY_DAYS,
        f"{what} per day observed in the last 28 days, relative to all days observed", example,
        f"{phrase} in the last 28 days at {{}}% of the usual rate", 100,
    )  # fmt: skip


def _rate(name: str, sql: str, unit: str, meaning: str, example: float, phrase: str, shown_as: float = 1.0) -> Feature:
    return Feature(name, sql, "ratio", unit, 0, _RATES, meaning, example, phrase, shown_as)


def _per_session(name: str, column: str, what: str, example: float) -> Feature:
    return _rate(
        f"{name}_per_session", _ratio(column, "sessions"), f"{what} per session", f"{what} per session", example,
        f"{{}} {what} per 10 visits", 10,
    )  # fmt: skip


def _days(name: str, sql: str, meaning: str, example: float, phrase: str) -> Feature:
    return Feature(name, sql, "days", "days", 0, CENTURY_DAYS, meaning, example, phrase)


def _ratio(above: str, below: str) -> str:
    # Whole numbers up to the one division: the same bits whatever the order of the rows.
    return f"cast({above} as double) / nullif({below}, 0)"


EXTENDED_FEATURES: tuple[Feature, ...] = (
    # What happened lately.
    _recent("sessions", "sessions", 7, "sessions begun", "visits", 3),
    _recent("sessions", "sessions", 14, "sessions begun", "visits", 5),
    _recent("sessions", "sessions", 28, "sessions begun", "visits", 9),
    _recent("songs", "plays", 7, "songs played", "songs", 30),
    _recent("songs", "plays", 14, "songs played", "songs", 50),
    _recent("songs", "plays", 28, "songs played", "songs", 90),
    _active_days(7, 3),
    _active_days(14, 5),
    _active_days(28, 8),
    _session_time(7, 10_800),
    _session_time(28, 32_400),
    _recent("thumbs_up", "likes", 28, "songs liked", "likes", 18),
    _recent("thumbs_down", "dislikes", 7, "songs disliked", "dislikes", 1),
    _recent("thumbs_down", "dislikes", 14, "songs disliked", "dislikes", 3),
    _recent("thumbs_down", "dislikes", 28, "songs disliked", "dislikes", 5),
    _recent("adverts", "adverts", 7, "adverts heard", "adverts", 2),
    _recent("adverts", "adverts", 14, "adverts heard", "adverts", 4),
    _recent("adverts", "adverts", 28, "adverts heard", "adverts", 8),
    _recent("errors", "errors", 28, "error pages", "errors", 1),
    _recent("help", "helps", 28, "help pages", "help pages", 1),
    _recent("upgrades", "upgrades", 28, "upgrades to the paid plan", "upgrades", 1),
    _recent("downgrades", "downgrades", 28, "downgrades to the free plan", "downgrades", 0),
    # Lately against before.
    _trend_7d("sessions", "sessions", "sessions begun", "visits", 1.2),
    _trend_28d("sessions", "sessions", "sessions begun", "visits", 1),
    _trend_7d("songs", "plays", "songs played", "songs", 1.2),
    _trend_28d("songs", "plays", "songs played", "songs", 1),
    # How often the customer comes.
    _days("days_observed", _DAYS_OBSERVED, "days from the first event's day to the cut-off", 30, "{} days in the log"),
    Feature(
        "active_days_share", _ratio("active_days", _DAYS_OBSERVED), "ratio", "share of days", 0, 1,
        "share of the days observed that have an event", 0.3, "active on {}% of days", 100,
    ),
    _rate(
        "sessions_per_day", _ratio("sessions", _DAYS_OBSERVED), "sessions per day",
        "sessions per day observed", 0.33, "{} visits a week", 7,
    ),
    _rate(
        "sessions_per_day_28d", _ratio("sessions_28d", f"least({_DAYS_OBSERVED}, 28)"), "sessions per day",
        "sessions begun per day observed among the last 28", 0.32, "{} visits a week in the last 28 days", 7,
    ),
    _rate(
        "sessions_per_active_day", _ratio("sessions", "active_days"), "sessions per active day",
        "sessions per day with an event", 1.1, "{} visits per active day",
    ),
    _rate(
        "songs_per_active_day", _ratio("plays", "active_days"), "songs per active day",
        "songs played per day with an event", 11, "{} songs per active day",
    ),
    # What a visit is like.
    _per_session("thumbs_up", "likes", "likes", 2),
    _per_session("thumbs_down", "dislikes", "dislikes", 0.5),
    _per_session("add_playlist", "playlist_adds", "playlist additions", 1.5),
    _per_session("add_friend", "friend_adds", "friends added", 0.8),
    _per_session("adverts", "adverts", "adverts", 0.9),
    _per_session("errors", "errors", "errors", 0.05),
    _per_session("help", "helps", "help pages", 0.1),
    _rate(
        "adverts_per_day", _ratio("adverts", _DAYS_OBSERVED), "adverts per day",
        "adverts heard per day observed", 0.3, "{} adverts a week", 7,
    ),
    _rate(
        "adverts_per_free_song", _ratio("free_adverts", "free_plays"), "adverts per song",
        "adverts heard on the free plan per song played on it", 0.1, "{} adverts per 100 songs on the free plan", 100,
    ),
    Feature(
        "paid_songs_share", _ratio("plays - free_plays", "plays"), "ratio", "share of songs", 0, 1,
        "share of the songs that were played on the paid plan", 0.5, "{}% of songs on the paid plan", 100,
    ),
    _rate(
        "thumbs_down_per_day", _ratio("dislikes", _DAYS_OBSERVED), "dislikes per day",
        "songs disliked per day observed", 0.17, "{} dislikes a week", 7,
    ),
    _rate(
        "thumbs_down_ratio_28d", _ratio("dislikes_28d", "plays_28d"), "dislikes per song",
        "dislikes per song played in the last 28 days", 0.06, "{} dislikes per 100 songs in the last 28 days", 100,
    ),
    # Changes of plan.
    Feature("upgrades", "upgrades", "count", "count", 0, 1e9, "upgrades to the paid plan", 1, "{} upgrades so far"),
    Feature(
        "downgrades", "downgrades", "count", "count", 0, 1e9, "downgrades to the free plan", 0, "{} downgrades so far"
    ),
    _days(
        "days_on_plan", "as_of_day - coalesce(changed_day, first_day)",
        "days from the last upgrade or downgrade, or else from the first event, to the cut-off", 20,
        "{} days without a change of plan",
    ),
    # Gaps between one day with an event and the next; 0 where there is only one such day.
    _days("gap_mean", _ratio("gap_days", "gaps"), "mean gap between days with an event", 3.2, "{} days between visits"),
    _days(
        # The variance in whole numbers: no sum of squares of doubles, no cancellation.
        "gap_std", "sqrt(cast(gaps * gap_squares - gap_days * gap_days as double)) / nullif(gaps, 0)",
        "standard deviation of these gaps", 2.1, "gaps between visits that vary by {} days",
    ),
    _days("gap_max", "gap_max", "longest of these gaps", 9, "{} days in the longest gap between visits"),
    _rate(
        "gap_ratio", _ratio("(as_of_day - last_day) * gaps", "gap_days"), "ratio of gaps",
        "days from the last day with an event to the cut-off, relative to the mean gap", 0.9,
        "away for {}% of the usual gap", 100,
    ),
)  # fmt: skip
