"""Every feature once more, in the plainest Python over the list of events: what the SQL must agree with."""

from collections.abc import Mapping
from itertools import pairwise
from statistics import fmean, pstdev

from churn.core.events import DAY_MS
from tests.core.feature_rows import Event


def slow_features(events: list[Event], as_of_day: int, *, at_risk: bool = True) -> dict[str, dict[str, float]]:
    """Feature rows by customer."""
    as_of = as_of_day * DAY_MS
    rows = {}
    for customer in {e["customer_id"] for e in events}:
        seen = [e for e in events if e["customer_id"] == customer and e["ts_ms"] < as_of]
        cancelled = any(e["kind"] == "cancel" for e in seen)
        if seen and _registered(seen) < as_of and not (at_risk and cancelled):
            rows[customer] = _core(seen, as_of) | _extended(seen, as_of_day)
    return rows


def _core(seen: list[Event], as_of: int) -> dict[str, float]:
    last = max(seen, key=_order)
    return {
        "total_sessions": _sessions(seen),
        "avg_session_duration": _session_ms(seen) / 1000 / _sessions(seen),
        "total_songs_played": _count(seen, "play"),
        "avg_songs_per_session": _count(seen, "play") / _sessions(seen),
        "thumbs_up_count": _count(seen, "like"),
        "thumbs_down_count": _count(seen, "dislike"),
        "add_playlist_count": _count(seen, "add_to_playlist"),
        "add_friend_count": _count(seen, "add_friend"),
        "time_since_last_activity": (as_of - last["ts_ms"]) / DAY_MS,
        "days_since_registration": (as_of - _registered(seen)) / DAY_MS,
        "thumbs_up_ratio": _ratio(_count(seen, "like"), _count(seen, "play")),
        "thumbs_down_ratio": _ratio(_count(seen, "dislike"), _count(seen, "play")),
        "is_paid_user": int(last["plan"] == "paid"),
    }


def _extended(seen: list[Event], as_of_day: int) -> dict[str, float]:
    days = sorted({_day(e) for e in seen})
    gaps = [b - a for a, b in pairwise(days)]
    observed = as_of_day - days[0]
    changes = [_day(e) for e in seen if e["kind"] in ("upgrade", "downgrade")]
    sessions, songs = _sessions(seen), _count(seen, "play")
    free = [e for e in seen if e["plan"] == "free"]

    def lately(window: int) -> dict[str, float]:
        before = [e for e in seen if _day(e) < as_of_day - window]
        recent = [e for e in seen if _day(e) >= as_of_day - window]
        return {kind: _count(recent, kind) for kind in {e["kind"] for e in recent}} | {
            "sessions": sessions - _sessions(before),
            "session_ms": _session_ms(seen) - _session_ms(before),
            "active_days": len({_day(e) for e in recent}),
            "observed": min(observed, window),
        }

    weeks = {window: lately(window) for window in (7, 14, 28)}

    def trend(what: str, window: int, whole: Mapping[str, float]) -> float:
        recent = weeks[window]
        return _ratio(recent.get(what, 0) / recent["observed"], whole.get(what, 0) / whole["observed"])

    always = {"sessions": sessions, "play": songs, "observed": observed}
    counted = {
        "sessions": ("sessions", (7, 14, 28)), "songs": ("play", (7, 14, 28)),
        "active_days": ("active_days", (7, 14, 28)), "thumbs_up": ("like", (28,)),
        "thumbs_down": ("dislike", (7, 14, 28)), "adverts": ("advert", (7, 14, 28)),
        "errors": ("error", (28,)), "help": ("help", (28,)), "upgrades": ("upgrade", (28,)),
        "downgrades": ("downgrade", (28,)),
    }  # fmt: skip
    per_session = {
        "thumbs_up": "like", "thumbs_down": "dislike", "add_playlist": "add_to_playlist", "add_friend": "add_friend",
        "adverts": "advert", "errors": "error", "help": "help",
    }  # fmt: skip
    return {
        **{f"{name}_{w}d": weeks[w].get(what, 0) for name, (what, windows) in counted.items() for w in windows},
        **{f"session_time_{w}d": weeks[w]["session_ms"] / 1000 for w in (7, 28)},
        "sessions_trend_7d": trend("sessions", 7, weeks[28]),
        "sessions_trend_28d": trend("sessions", 28, always),
        "songs_trend_7d": trend("play", 7, weeks[28]),
        "songs_trend_28d": trend("play", 28, always),
        "days_observed": observed,
        "active_days_share": len(days) / observed,
        "sessions_per_day": sessions / observed,
        "sessions_per_day_28d": weeks[28]["sessions"] / weeks[28]["observed"],
        "sessions_per_active_day": sessions / len(days),
        "songs_per_active_day": songs / len(days),
        **{f"{name}_per_session": _count(seen, kind) / sessions for name, kind in per_session.items()},
        "adverts_per_day": _count(seen, "advert") / observed,
        "adverts_per_free_song": _ratio(_count(free, "advert"), _count(free, "play")),
        "paid_songs_share": _ratio(songs - _count(free, "play"), songs),
        "thumbs_down_per_day": _count(seen, "dislike") / observed,
        "thumbs_down_ratio_28d": _ratio(weeks[28].get("dislike", 0), weeks[28].get("play", 0)),
        "upgrades": _count(seen, "upgrade"),
        "downgrades": _count(seen, "downgrade"),
        "days_on_plan": as_of_day - (max(changes) if changes else days[0]),
        "gap_mean": fmean(gaps) if gaps else 0,
        "gap_std": pstdev(gaps) if gaps else 0,
        "gap_max": max(gaps, default=0),
        "gap_ratio": (as_of_day - days[-1]) / fmean(gaps) if gaps else 0,
    }


def _day(e: Event) -> int:
    return int(e["ts_ms"] // DAY_MS)


def _order(e: Event) -> tuple[int, str, int, str, str]:
    item = -1 if e["item_in_session"] is None else e["item_in_session"]
    return e["ts_ms"], e["session_id"], item, e["kind"], e["plan"]


def _registered(seen: list[Event]) -> int:
    given = [e["registered_ms"] for e in seen if e["registered_ms"] is not None]
    return min(given) if given else min(e["ts_ms"] for e in seen)


def _count(seen: list[Event], kind: str) -> int:
    return sum(e["kind"] == kind for e in seen)


def _sessions(seen: list[Event]) -> int:
    return len({e["session_id"] for e in seen})


def _session_ms(seen: list[Event]) -> int:
    times = [[e["ts_ms"] for e in seen if e["session_id"] == session] for session in {e["session_id"] for e in seen}]
    return sum(max(t) - min(t) for t in times)


def _ratio(above: float, below: float) -> float:
    return above / below if below else 0.0
