"""Which DAGs are switched on, and when.

A scheduled tick must not race with the chain that a start runs (ingest, then train, then score). Airflow creates new
DAGs switched off, and at a later start every DAG is switched off ("held") before the scheduler starts. The chain
switches on one DAG at a time; when it is done, the rest follows. What the chain's assets start must be on by then, as
an event is lost on a DAG that is off: such a DAG goes on early, unless its schedule owes a run, which would race with
the chain. That run comes afterwards and does the same work. A DAG that a person switched off stays off: the ledger, a
small file, tells a hold from a person's choice, also after a kill.
"""

import json
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from deploy.local.airflow_api import AirflowApi


class Schedule:
    """The DAGs of one Airflow, as this start holds and releases them."""

    def __init__(self, api: AirflowApi, ledger: Path) -> None:
        self._api = api
        self._ledger = ledger
        self._known, self._held = _read(ledger)

    def hold(self) -> None:
        """Switches off what is on. Before the scheduler starts."""
        on = {dag_id for dag_id, dag in self._api.dags().items() if not dag.paused}
        self._held |= on
        self._write()
        for dag_id in sorted(on):
            self._api.switch(dag_id, on=False)

    def parsed(self, wanted: Collection[str], since: datetime) -> bool:
        """Whether the wanted DAGs were read since then: what their schedule owes is then up to date."""
        dags = self._api.dags().items()
        return {dag_id for dag_id, dag in dags if dag.parsed_at and dag.parsed_at >= since}.issuperset(wanted)

    def may_run(self, dag_id: str) -> bool:
        """Whether it is ours to switch on: new, or held by us, or on already."""
        return dag_id not in self._known or dag_id in self._held or not self._api.dags()[dag_id].paused

    def release(self, dag_id: str) -> None:
        if self.may_run(dag_id):
            self._api.switch(dag_id, on=True)
            self._known.add(dag_id)
            self._held.discard(dag_id)
            self._write()

    def release_idle(self, but: Collection[str]) -> None:
        """Those that start nothing by being switched on: the others follow with ``release_all``."""
        for dag_id, dag in sorted(self._api.dags().items()):
            if dag_id not in but and not dag.due:
                self.release(dag_id)

    def release_all(self) -> None:
        for dag_id in sorted(self._api.dags()):
            self.release(dag_id)

    def _write(self) -> None:
        aside = self._ledger.with_suffix(".tmp")
        aside.write_text(json.dumps({"known": sorted(self._known), "held": sorted(self._held)}))
        aside.replace(self._ledger)


def _read(ledger: Path) -> tuple[set[str], set[str]]:
    try:
        content = json.loads(ledger.read_text())
        return set(content["known"]), set(content["held"])
    except (OSError, ValueError, KeyError):
        return set(), set()
