"""Live evidence: what the challenger said of past nights beside the champion, against what happened since."""

from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import pandas as pd

from churn.core.promotion import Decision, PromotionPolicy, guard
from churn.io.contracts import contract_of
from churn.io.lake import Lake
from churn.io.outcomes import outcomes
from churn.io.scorebook import Publication, ScoreBook
from churn.settings import Settings

_NIGHTS = 28
"""The newest that have matured: older ones say less of tonight."""


def live_evidence(settings: Settings, champion: str, challenger: str, policy: PromotionPolicy) -> Decision:
    """Whether past nights that both scored speak against the challenger: only a doubtless loss does.

    A night counts once a horizon has passed by the newest night that was published, so that a replay of the past never
    looks ahead of it. No nights, or too few customers, say nothing against; the evidence says which.
    """
    contract = contract_of(settings)
    with closing(ScoreBook(settings.score_database)) as book:
        pairs, now = _nights(book, champion, challenger)
        lake = Lake(settings.data_home)
        known = min([now, *([lake.known_until(now)] if lake.event_days() else [])])
        horizon = timedelta(days=contract.horizon_days)
        matured = [pair for pair in pairs if pair[0].as_of + horizon <= known][-_NIGHTS:]
        if not matured:
            waiting = f"no night that both scored has outcomes yet; {len(pairs)} wait for theirs"
            why = waiting if pairs else "the challenger has no past nights yet beside the champion"
            return Decision(True, (why,), {"nights": [], "criteria": {}})
        scored = pd.concat([_scored(book, *pair) for pair in matured], ignore_index=True)
    judged = guard(
        outcomes(lake, scored, known, contract, megabytes=settings.engine_megabytes),
        scored["champion"], scored["challenger"], scored["customer_id"],
        label="log loss on past nights", margin=None, policy=policy,
    )  # fmt: skip
    return replace(judged, evidence={"nights": [str(pair[0].as_of) for pair in matured], **judged.evidence})


def _nights(book: ScoreBook, champion: str, challenger: str) -> tuple[list[tuple[Publication, Publication]], date]:
    """Publications of both for the same night, oldest first; and the newest night of all."""
    published = book.publications()
    by_night = {p.as_of: p for p in published if p.model_version == champion}
    shadow = [p for p in book.publications(shadow=True) if p.model_version == challenger]
    pairs = [(by_night[p.as_of], p) for p in shadow if p.as_of in by_night]
    return pairs, max((p.as_of for p in published), default=date.min)


def _scored(book: ScoreBook, champion: Publication, challenger: Publication) -> pd.DataFrame:
    """``as_of``, ``customer_id`` and both probabilities, of the customers whom both scored."""
    old, new = (
        frame[["customer_id", "churn_probability"]].rename(columns={"churn_probability": who})
        for who, frame in (
            ("champion", book.scores(champion)),
            ("challenger", book.scores(challenger, shadow=True)),
        )
    )
    return old.merge(new, on="customer_id").assign(as_of=champion.as_of)
