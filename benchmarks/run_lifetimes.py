"""Run by the interpreter of the peers' environment: fit BG/NBD and its relative, and say who will not buy.

``python run_lifetimes.py summary.csv found.csv HORIZON_DAYS``: customer_id, frequency, recency, T in; per model the
probability of no purchase in the horizon and the expected purchases out.

The package has no function for the former. Under both models a customer who is alive at T buys at a rate that is
Gamma(r + x, alpha + T), and nobody else buys, so that

    P(no purchase in (T, T + t] | x, t_x, T) = 1 - P(alive) (1 - ((alpha + T) / (alpha + T + t)) ** (r + x))

(Fader, Hardie & Lee 2005, "Counting Your Customers" the Easy Way, Marketing Science 24(2); P(alive): Fader & Hardie
2008, Computing P(alive) Using the BG/NBD Model; MBG/NBD: Batislam, Denizel & Filiztekin 2007).
"""

import sys

import numpy as np
import pandas as pd
from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter


def main(given: str, found: str, horizon_days: float) -> None:
    """Read, fit, write."""
    table = pd.read_csv(given, dtype={"customer_id": str})
    x, seen, age = (table[name].to_numpy(float) for name in ("frequency", "recency", "T"))
    out = table[["customer_id"]].copy()
    for name, fitter in (("bgnbd", BetaGeoFitter), ("mbgnbd", ModifiedBetaGeoFitter)):
        model = fitter(penalizer_coef=0.0).fit(x, seen, age)
        alive = np.asarray(model.conditional_probability_alive(x, seen, age))
        alpha, r = model.params_["alpha"], model.params_["r"]
        out[f"{name}_none"] = 1 - alive * (1 - ((alpha + age) / (alpha + age + horizon_days)) ** (r + x))
        out[f"{name}_expected"] = np.asarray(
            model.conditional_expected_number_of_purchases_up_to_time(horizon_days, x, seen, age)
        )
    out.to_csv(found, index=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
