"""What is asked of a challenger, in numbers."""

from dataclasses import dataclass, field

from churn.core.evaluation import Economics


@dataclass(frozen=True)
class PromotionPolicy:
    """What a challenger must show on the latest hold-out.

    One figure has to be better beyond doubt, the log loss; every other one must not be worse by more than a margin,
    beyond doubt as well: it is the unfavourable end of the interval that is held against the margin.
    """

    level: float = 0.95
    """Of every interval. Half of what is left of it, 2.5 %, is how often an equal challenger looks better by chance."""
    resamples: int = 2000
    """The end of the interval then rests on 50 of them: an equal challenger looked better in 2.4 % of 12,000 trials."""
    seed: int = 42
    minimum_customers: int = 200
    minimum_churned: int = 20
    """Of either kind; in a segment too. Fewer than this, and any difference is noise."""
    log_loss_gain: float = 0.005
    """Share by which the challenger's log loss must be lower: less is within what another seed changes."""
    profit_margin: float = 0.1
    """How much less it may earn, as a share of what contacting just the leavers would earn."""
    roc_auc_margin: float = 0.02
    """How much lower its ROC AUC may be."""
    calibration_margin: float = 0.3
    """How much larger its calibration error may be, and the distance of its mean probability from the churn rate, as a
    share of the churn rate."""
    segment_margin: float = 0.1
    """Share by which its log loss may be higher in a segment."""
    core_margin: float = 0.05
    """Share by which the log loss of the version's other model, the one on the core features, may be higher."""
    economics: Economics = field(default_factory=Economics)
