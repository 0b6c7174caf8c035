"""The features of one customer from raw events that are in no lake: by the SQL of ingestion and of the nightly run.

The events of a request count as one raw file: equal ones are true repetitions, not the same event delivered twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from queue import Empty, LifoQueue

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from churn.core.canonical import Rule, rules
from churn.core.events import SourceContract
from churn.core.request_events import (
    another_customer_sql,
    broken_events_sql,
    judged_events_sql,
    malformed_sql,
    names_sql,
    request_features_sql,
    standing_sql,
    summary_sql,
)
from churn.errors import BadInput, ContractViolation
from churn.io.engines.duckdb import sealed_engine

_EPOCH = date(1970, 1, 1)
_MEGABYTES = 512
"""Memory of one engine: several times what 50,000 events in 16 MB of text take."""
_FAULTS = 20
"""Faults that are listed; the rest are only counted."""
_LISTED = 40
"""Values of a vocabulary that are named."""


@dataclass(frozen=True)
class LiveFeatures:
    """What the nightly run would have found. read = used + without_customer + after_cutoff."""

    customer_id: str
    as_of: date
    features: NDArray[np.float64]
    """In the order of FEATURE_NAMES."""
    read: int
    used: int
    without_customer: int
    """Set aside, as in ingestion."""
    after_cutoff: int
    """At the cut-off or later: nothing but their time was looked at."""


@dataclass(frozen=True)
class Fault:
    """One thing that keeps the events from being used."""

    expected: str
    index: int | None = None
    """Which event; None: all together."""
    column: str | None = None
    """The raw column; None: the event as a whole."""
    found: str | None = None
    """None: what the event has there."""

    def __str__(self) -> str:
        where = "the events" if self.index is None else f"event {self.index}"
        return ": ".join(x for x in (where, self.column, self.found, f"expected {self.expected}") if x is not None)


class UnusableEvents(BadInput):
    """No features can be computed. ``faults`` lists the first ones, ``count`` is how many there are."""

    def __init__(self, faults: Sequence[Fault], count: int | None = None) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)
        self.count = len(faults) if count is None else count


class BrokenEvents(UnusableEvents, ContractViolation):
    """Events break the source contract."""


class NotOneCustomer(UnusableEvents):
    """Nobody's events, or several customers'."""


class NotAtRisk(UnusableEvents):
    """The nightly run would not score the customer at the cut-off."""


class LiveReader:
    """Computes features for several threads at a time. Engines are kept, because making one takes long."""

    def __init__(self, contract: SourceContract) -> None:
        self._contract = contract
        self._idle: LifoQueue[_Engine] = LifoQueue()

    def features(self, events: Sequence[str], as_of: date) -> LiveFeatures:
        """The features at ``as_of`` of the events' customer. Each event is the text of a JSON object.

        Raises UnusableEvents, as one of its kinds.
        """
        try:
            engine = self._idle.get_nowait()
        except Empty:
            engine = _Engine(self._contract)
        try:
            found = engine.features(events, as_of)
        except UnusableEvents:
            self._put_back(engine)
            raise
        except BaseException:  # nobody knows in which state it is
            engine.close()
            raise
        self._put_back(engine)
        return found

    def prepare(self, engines: int) -> None:
        """Make engines beforehand."""
        for _ in range(engines):
            self._idle.put(_Engine(self._contract))

    def close(self) -> None:
        """Close the engines that are not at work."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _put_back(self, engine: "_Engine") -> None:
        engine.forget()
        self._idle.put(engine)


class _Engine:
    """For one caller at a time."""

    def __init__(self, contract: SourceContract) -> None:
        self._contract = contract
        self._rules = {rule.name: rule for rule in rules(contract)}
        self._sql = sql = sealed_engine(_MEGABYTES)
        self._lines = sql.feed("lines", _numbered(()))
        self._cutoff = sql.feed("cutoff", _day(_EPOCH))
        judge = judged_events_sql(contract, "lines", "cutoff")
        self._judged = sql.feed("judged", sql.table(judge))
        sql.execute(f"prepare judge as {judge}")
        sql.execute(f"prepare summary as {summary_sql(contract, 'judged')}")
        sql.execute(f"prepare features as {request_features_sql('judged', 'cutoff')}")

    def features(self, events: Sequence[str], as_of: date) -> LiveFeatures:
        self._lines.table, self._cutoff.table = _numbered(events), _day(as_of)
        self._judged.table = self._sql.table("execute judge")
        malformed, visitors, after, broken, customers, customer, values = self._sql.rows("execute summary")[0]
        if malformed:
            raise self._malformed(malformed)
        if not all(values) and visitors + after < len(events):
            self._check_names()
        if broken:
            raise self._rules_broken()
        if customers != 1:
            raise self._not_one(customers, after)
        rows = self._sql.rows("execute features")
        if not rows:
            raise NotAtRisk([self._not_at_risk(as_of)])
        features = np.array(rows[0][2:], dtype=np.float64)
        used = len(events) - visitors - after
        return LiveFeatures(customer, as_of, features, len(events), used, visitors, after)

    def forget(self) -> None:
        """Hold nothing of the last caller's."""
        for feed in (self._lines, self._cutoff, self._judged):
            feed.clear()

    def close(self) -> None:
        self._sql.close()

    def _check_names(self) -> None:
        """A column may be empty in every event; that not one of them names it is refused, as in ingestion."""
        named = {name for (name,) in self._sql.rows(names_sql("lines", "judged"))}
        if missing := [source for source in self._contract.needed if source not in named]:
            expected = "it in at least one event, if only as null"
            raise BrokenEvents([Fault(expected, column=source, found="nothing in any event") for source in missing])

    def _malformed(self, count: int) -> BrokenEvents:
        found = self._sql.rows(f"{malformed_sql('judged')} limit {_FAULTS}")
        return BrokenEvents([Fault("a JSON object", index) for (index,) in found], count)

    def _rules_broken(self) -> BrokenEvents:
        broken = [(index, names.split("; ")) for index, names in self._sql.rows(broken_events_sql("judged"))]
        every = ((index, name) for index, names in broken for name in names)
        first = [_fault(self._contract, self._rules[name], index) for index, name in islice(every, _FAULTS)]
        return BrokenEvents(first, sum(len(names) for _, names in broken))

    def _not_one(self, customers: int, after: int) -> UnusableEvents:
        source = self._contract.columns["customer_id"].source
        if customers:
            [(index,)] = self._sql.rows(another_customer_sql("judged"))
            expected = "the customer of the events before it: a request is about one"
            return NotOneCustomer([Fault(expected, index, source)])
        if after:
            return NotAtRisk([Fault("one at least", found="no event of a customer before the cut-off")])
        return NotOneCustomer([Fault("the events of one customer", column=source, found="no customer in any event")])

    def _not_at_risk(self, as_of: date) -> Fault:
        [(cancels, registered_ms, as_of_ms)] = self._sql.rows(standing_sql("judged", "cutoff"))
        if cancels:
            return Fault("one who has not", found=f"a customer who cancelled before {as_of}")
        assert registered_ms >= as_of_ms
        return Fault("one who registered earlier", found=f"a customer who registered on {as_of} or later")


def _numbered(events: Sequence[str]) -> pa.Table:
    numbers, lines = pa.array(range(len(events)), pa.int64()), pa.array(events, pa.string())
    return pa.table({"line_no": numbers, "line": lines})


def _day(as_of: date) -> pa.Table:
    return pa.table({"as_of_day": pa.array([(as_of - _EPOCH).days], pa.int64())})


def _fault(contract: SourceContract, rule: Rule, index: int) -> Fault:
    source = contract.columns[rule.column].source
    assert source is not None  # constants have no rules
    if rule.check == "given":
        return Fault("a value", index, source)
    if rule.check == "known":
        more = f" and {len(rule.values) - _LISTED} more" if len(rule.values) > _LISTED else ""
        return Fault(f"one of {', '.join(rule.values[:_LISTED])}{more}", index, source)
    return Fault(rule.name.removeprefix(f"{source} is "), index, source)
