"""Why a score is what it is, for one customer that came with a request."""

import numpy as np

from churn.core.model import FULL
from churn.core.reasons import strongest
from serving.customers import Customer
from serving.explain_schemas import Explanation, ReasonInfo
from serving.served import Served


def explained(served: Served, customer: Customer, reasons: int) -> Explanation:
    """The score of one customer with its strongest ``reasons``, which together with the rest add up to the log-odds."""
    score = served.one(customer)
    complete = score.model == FULL and served.full is not None and customer.full is not None
    model, values = (served.full, customer.full) if complete else (served.core, customer.core)
    assert model is not None and values is not None
    row = np.array([values], dtype=np.float64)
    added = model.contributions(row)
    parts = added[0]
    found = strongest(model.features, [(row, added[:, :-1])], model.card.usual, reasons)[0]
    return Explanation(
        churn_prediction=1 if score.decision else 0,
        churn_probability=score.probability,
        no_churn_probability=1.0 - score.probability,
        model=score.model,
        threshold=model.threshold,
        average_log_odds=float(parts[-1]),
        reasons=[ReasonInfo(**vars(reason)) for reason in found],
        others=float(parts[:-1].sum()) - sum(reason.contribution for reason in found),
        log_odds=float(parts.sum()),
    )
