"""When a difference is called drift: an error rate and the smallest effects that matter."""

from dataclasses import dataclass

from churn.errors import BadInput


@dataclass(frozen=True)
class DriftPolicy:
    """Both must hold for an alarm: more than chance at this error rate, and no smaller than these floors."""

    false_discovery_rate: float = 0.01
    """Of Benjamini–Hochberg over every test of one comparison. Where nothing changed, also the chance of any alarm."""
    smallest_ks: float = 0.08
    """A normal feature shifted by 0.3 standard deviations has 0.119; by 0.2, 0.080."""
    smallest_js: float = 0.1
    """Jensen–Shannon distance, base 2, of a column of text: 50 % against 60 % of two categories are 0.085."""
    smallest_missing: float = 0.02
    """Change of the share of missing values, in either direction."""
    new_share: float = 0.0002
    """Share from which a category that the reference lacks is news. Rare pages matter: changes of plan are 0.05 % of a
    music service's events."""
    vanished_share: float = 0.002
    """Share in the reference from which a category that is gone is news."""
    smallest_event_js: float = 0.1
    """Jensen–Shannon distance of a day's events by kind. A floor alone: events cluster by customer, so that no
    test of single events has a p-value that could be believed."""
    events_alike: float = 10.0
    """So many events of a day count as one draw: by chance alone, the squared distance of n events over k kinds is
    about (k - 1) / (8 ln 2 n) were they independent. On days of the public log of 97 customers it is 1.6 times that on
    average; ten times leaves room for the worst of many days."""
    fewest_new_events: int = 10
    """Of a kind that the reference lacks, before it is news: a handful is a slip."""
    fewest_expected_events: int = 30
    """Of a kind that is gone, by its share in the reference: one visit can bring several, or none."""
    ages: tuple[str, ...] = ("days_since_registration",)
    """Features that grow by one a day by themselves."""

    def __post_init__(self) -> None:
        """Raises BadInput."""
        if not 0 < self.false_discovery_rate < 1:
            raise BadInput(f"false_discovery_rate is {self.false_discovery_rate}; expected between 0 and 1")
