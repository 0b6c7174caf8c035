"""The one configuration object: ``CHURN_*`` variables (also from ``.env``), read once at the edge, then passed in."""

from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Frozen settings. Every field can be set as ``CHURN_<NAME>``; paths are made absolute.

    A variable that is there and empty says nothing: an empty path would be the folder one happens to be in.
    """

    model_config = SettingsConfigDict(
        env_prefix="CHURN_", env_file=REPOSITORY / ".env", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    home: Path = REPOSITORY / ".churn"
    """Everything the platform keeps: events, features, scores, models, Airflow's and MLflow's own files."""
    landing: Path | None = None
    """Where raw logs arrive; default ``<home>/landing``. Set it to a real log and the demo log is off."""
    contract: str = "sparkify"
    """Name of a shipped source contract, or the path of a TOML file."""
    engine: Literal["duckdb", "spark"] = "duckdb"
    """What ingestion, features, panels and scores are computed by: the same values on both. `spark` needs `make spark`
    and Java 17."""
    spark_master: str = "local[*]"
    """Where Spark runs: `local[<cores>]`, `spark://…`, `yarn` or `k8s://…`. There, each node needs this package and the
    data home at the same path."""
    spark_options: Mapping[str, str] = {}
    """Spark's own settings, as JSON: `{"spark.executor.memory": "8g"}`."""
    spark_python: Path | None = None
    """Python that Spark's own process runs in: it holds pyspark. Default: that of `make spark`, else the one that
    asks."""
    engine_megabytes: Annotated[int, Field(ge=256)] = 1_024
    """Memory of the embedded engine; what needs more is spilled to disk."""
    score_shards: Annotated[int, Field(ge=1, le=1_024)] = 1
    """Tasks that a night's scoring is parted into, each with its share of the customers; Airflow maps 1,024 at most."""
    training_rows: Annotated[int, Field(ge=10_000)] = 250_000
    """Rows of a panel that a training holds in memory, at some 8 kB each, and rows of its hold-out. Of a longer one it
    samples those who stayed, and fits the trees from disk on all rows."""
    database_url: str | None = None
    """SQLAlchemy URL of the score book; default SQLite in the data home."""
    mlflow_tracking_uri: str | None = Field(
        default=None, validation_alias=AliasChoices("MLFLOW_TRACKING_URI", "mlflow_tracking_uri")
    )
    """Default: the SQLite store in the data home, which is also the one that the local MLflow server shows."""
    registered_model: str = "churn"

    demo: bool = True
    """Generate a log when the landing folder is empty, and go on landing its days. A real log there turns it off."""
    demo_customers: Annotated[int, Field(ge=10)] = 2_000
    demo_days: Annotated[int, Field(ge=60)] = 90
    demo_seed: int = 7

    panel_snapshots: Annotated[int, Field(ge=1)] = 8
    """Training snapshots, a week apart, before the hold-out."""
    search_trials: Annotated[int, Field(ge=0)] = 24
    """Settings tried for each model of a training; 0 takes the defaults."""
    leakage_auc: Annotated[float, Field(gt=0.5, le=1)] = 0.9
    """A column whose ROC AUC alone reaches this is taken for a leak, and the training refused."""
    longest_gap_days: Annotated[int, Field(ge=0)] = 3
    """How many days the log may be behind a cut-off that is scored."""
    contact_cost: Annotated[float, Field(ge=0)] = 50.0
    """What one contact costs."""
    retained_value: Annotated[float, Field(ge=0)] = 200.0
    """What a customer who stays is worth."""
    contact_success: Annotated[float, Field(ge=0, le=1)] = 0.75
    """Share of leaving customers whom a contact keeps. An assumption until a campaign measures it."""

    horizon_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """Horizon of the forecast; default: the contract's. Models of different horizons are never compared."""
    promotion: Literal["auto", "approve"] = "auto"
    """Whether the gate's yes is enough, or a person has to approve it in Airflow."""
    approvers: Annotated[tuple[str, ...], NoDecode] = ()
    """Airflow users who may approve, separated by commas; none: whoever may run the DAG."""
    approval_hours: Annotated[float, Field(gt=0)] = 24.0
    """How long an approval is waited for; then the answer is no."""
    retrain_cooldown_days: Annotated[int, Field(ge=0)] = 3
    """An alarm asks for no retraining within that many days of the last one."""
    drift_nights: Annotated[int, Field(ge=1)] = 3
    """Drift alone asks for a retraining only after that many nights in a row."""
    scores_due: time = time(6, 0)
    """By when (UTC) a day's scores are due; later is an alarm."""
    alert_webhook: str | None = None
    """URL that alerts are posted to as JSON, beside the log."""
    alert_emails: Annotated[tuple[str, ...], NoDecode] = ()
    """Who is mailed on alerts, separated by commas, by Airflow's connection `smtp_default`."""

    airflow_port: int = 8080
    mlflow_port: int = 5000
    api_port: int = 8000
    api_host: str = "127.0.0.1"
    """Address the API listens on; any other than this machine's own asks for API keys."""
    api_published_on: str = ""
    """In a container: the address of the host on which its port is published. It then decides, in place of
    `api_host`, whether API keys are asked for."""
    api_workers: Annotated[int, Field(ge=1)] = 1
    """Processes of the API. Each holds its own copy of the model, of some megabytes."""
    airflow_password: str = "admin"  # noqa: S105 - known on purpose: it listens on this machine only
    """Password of the local Airflow user ``admin``. Everything listens on 127.0.0.1 only."""
    registry_poll_seconds: Annotated[float, Field(gt=0)] = 5.0
    """How often the API asks the registry which version is at stage Production."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins that may call the API from a browser, separated by commas; none by default."""
    api_keys: Annotated[tuple[str, ...], NoDecode] = ()
    """sha256 (hex) of each key that the API accepts, separated by commas: `python -m serving new-key` makes one. None:
    no key is asked for, and only this machine is answered."""
    max_requests: Annotated[int, Field(ge=1)] = 256
    """Requests at work in one API process; more are told to come back in a second."""
    request_seconds: Annotated[float, Field(gt=0)] = 30.0
    """A request that takes longer, the sending of its body included, is given up."""
    drain_seconds: Annotated[float, Field(ge=0)] = 2.0
    """After SIGTERM the API says for so long that it is not ready, answers, and closes each connection."""

    challenger_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the customers (by the header `X-Customer-Key`) whom the version at Staging answers. A tag
    `churn.rollout.share` of that version wins."""
    challenger_shadow: bool = False
    """Let the version at Staging score what the champion answered and the prediction log keeps, for that log alone. Its
    tag `churn.rollout.shadow` wins."""
    prediction_log_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the API's predictions that are kept, with their inputs, under `<home>/predictions`."""
    prediction_log_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How often they are written, a file each time; sooner where many wait."""

    keep_events_days: Annotated[int, Field(ge=90)] | None = None
    """What `churn prune` leaves of each place, in days. Events: all of them, because a customer's totals are counted
    from the first one on. What training and the last outcomes need stays in any case."""
    keep_quarantine_days: Annotated[int, Field(ge=7)] = 180
    """Rows that broke the contract, after their file came: time to mend the source, and no archive of its mistakes."""
    keep_features_days: Annotated[int, Field(ge=7)] = 90
    """Made again from the events at any time. The nights that the monitor looks at stay in any case."""
    keep_panels_days: Annotated[int, Field(ge=7)] = 90
    """Those of the versions at Production and Staging stay in any case: the gate measures on them."""
    keep_reports_days: Annotated[int, Field(ge=7)] = 400
    """Drift, monitoring and validation pages: a year can be compared with the one before. Decisions stay for good."""
    keep_scores_days: Annotated[int, Field(ge=30)] = 400
    """Published scores, as the reports. Those whose outcomes are still looked at stay in any case."""
    keep_reasons_days: Annotated[int, Field(ge=2)] = 90
    """Why each customer was scored so: nine tenths of the score book, some 22 MB a night for 17,772 customers."""
    keep_predictions_days: Annotated[int, Field(ge=30)] = 90
    """The log of the API's predictions. The drift report compares the last 29 days of it."""
    keep_logs_days: Annotated[int, Field(ge=1)] = 30
    """Logs of the services and of Airflow's tasks, after their last line."""
    keep_log_megabytes: Annotated[float, Field(gt=0)] = 50.0
    """A service's log that is larger becomes `<name>.log.1`, in place of the one before, and begins anew."""
    airflow_logs: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("CHURN_AIRFLOW_LOGS", "AIRFLOW__LOGGING__BASE_LOG_FOLDER", "airflow_logs"),
    )
    """Where Airflow keeps its tasks' logs; default `<home>/airflow/logs`."""

    @field_validator("cors_origins", "approvers", "alert_emails", "api_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(x.strip() for x in value.split(",") if x.strip()) if isinstance(value, str) else value

    @field_validator("api_published_on")
    @classmethod
    def _without_brackets(cls, value: str) -> str:
        return value.strip("[]")  # as Compose writes addresses of IPv6

    @field_validator("scores_due")
    @classmethod
    def _without_zone(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("it is UTC already: write it without a zone, for example 06:00")
        return value

    @property
    def landing_dir(self) -> Path:
        return (self.landing or self.home / "landing").expanduser().absolute()

    @property
    def data_home(self) -> Path:
        return self.home.expanduser().absolute()

    @property
    def score_database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_home / 'scores.db'}"

    @property
    def tracking_uri(self) -> str:
        return self.mlflow_tracking_uri or f"sqlite:///{self.data_home / 'mlflow' / 'mlflow.db'}"

    @property
    def artifact_root(self) -> Path:
        return self.data_home / "mlflow" / "artifacts"
