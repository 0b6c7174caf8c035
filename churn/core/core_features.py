"""The 13 core features. Their names and formulas are a public contract: the REST API takes them by name."""

from churn.core.events import DAY_MS
from churn.core.feature import CENTURY_DAYS, Feature


def _count(name: str, sql: str, meaning: str, example: float, phrase: str) -> Feature:
    return Feature(name, sql, "count", "count", 0, 1e9, meaning, example, phrase)


CORE_FEATURES: tuple[Feature, ...] = (
    _count("total_sessions", "sessions", "sessions so far", 10, "{} visits so far"),
    Feature(
        "avg_session_duration", "cast(session_ms as double) / 1000 / nullif(sessions, 0)", "seconds", "seconds", 0, 1e8,
        "mean time from the first to the last event of a session", 3600, "{} minutes a visit", 1 / 60,
    ),
    _count("total_songs_played", "plays", "songs played so far", 100, "{} songs played so far"),
    Feature(
        "avg_songs_per_session", "cast(plays as double) / nullif(sessions, 0)", "count", "songs per session", 0, 1e9,
        "songs played per session", 10, "{} songs a visit",
    ),
    _count("thumbs_up_count", "likes", "songs liked", 20, "{} songs liked so far"),
    _count("thumbs_down_count", "dislikes", "songs disliked", 5, "{} songs disliked so far"),
    _count("add_playlist_count", "playlist_adds", "songs added to a playlist", 15, "{} songs added to a playlist"),
    _count("add_friend_count", "friend_adds", "friends added", 8, "{} friends added so far"),
    Feature(
        "time_since_last_activity", f"cast(as_of_ms - last_ms as double) / {DAY_MS}", "days", "days", 0, CENTURY_DAYS,
        "days from the last event to the cut-off", 2, "{} days since the last visit",
    ),
    Feature(
        "days_since_registration", f"cast(as_of_ms - registered_ms as double) / {DAY_MS}", "days", "days",
        0, CENTURY_DAYS, "days from registration to the cut-off", 30, "{} days since registration",
    ),
    Feature(
        "thumbs_up_ratio", "cast(likes as double) / nullif(plays, 0)", "ratio", "likes per song", 0, 1e6,
        "likes per song played", 0.2, "{} likes per 100 songs", 100,
    ),
    Feature(
        "thumbs_down_ratio", "cast(dislikes as double) / nullif(plays, 0)", "ratio", "dislikes per song", 0, 1e6,
        "dislikes per song played", 0.05, "{} dislikes per 100 songs", 100,
    ),
    Feature(
        "is_paid_user", "case when last_plan = 'paid' then 1 else 0 end", "flag", "0 or 1", 0, 1,
        "on the paid plan at the last event", 1, "on the {} plan", words=("free", "paid"),
    ),
)  # fmt: skip
