"""The calls."""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from itertools import islice
from time import sleep
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from .answers import (
    EventsPrediction,
    Explanation,
    Feature,
    Health,
    ModelInfo,
    Prediction,
    PublishedScore,
    TopList,
    read,
)
from .errors import ApiError, Busy, InvalidRequest, Unreachable, error_of

Customer = Mapping[str, Any]
"""One customer: features by their names."""

_AT_ONCE = 10_000
"""Customers in one request. The API takes 100,000 and 64 MB; so many with every feature are some 15 MB."""
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 30.0
_LOST = (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError)

T = TypeVar("T")


class ChurnClient:
    """The API at one address. Threads may share one; close it, or use it in a ``with``.

    A lost connection and the answers 429 and 503 are tried ``retries`` times again, after as long as ``Retry-After``
    says, else after some 0.2 s, 0.4 s, 0.8 s. Asked to wait for more than 30 s, it raises Busy at once. POST is safe to
    repeat: it changes nothing on the server, except that a prediction may be logged twice. What it raises is ApiError.

    >>> with ChurnClient("http://127.0.0.1:8000") as api:
    ...     customer = {feature.name: feature.example for feature in api.features() if feature.required}
    ...     score = api.predict(customer)
    ...     because = api.explain(customer, reasons=1).reasons[0].text
    >>> score
    Prediction(churn_prediction=..., churn_probability=0..., ..., model_version='...', model='core')
    >>> because
    '...'
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout: float = 35.0,  # the API gives up by itself after 30 s, and says so
        retries: int = 3,
    ) -> None:
        key = (api_key or "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ValueError("the API key holds characters that no key has")  # httpx's own message would show the key
        self._http = httpx.Client(
            base_url=f"{base_url.rstrip('/')}/api/churn/",
            headers={"X-API-Key": key} if key else {},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
        )
        self._retries = retries

    def __enter__(self) -> "ChurnClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(self, customer: Customer, *, customer_key: str | None = None) -> Prediction:
        """Score one customer. ``customer_key``: any text that stays the same for the customer; during a rollout it
        decides whether the challenger answers."""
        headers = {} if customer_key is None else {"X-Customer-Key": customer_key.encode()}
        return _one(Prediction, self._post("predict", customer, headers=headers))

    def predict_many(self, customers: Iterable[Customer]) -> list[Prediction]:
        """Score any number of customers, in their order; 10,000 in a request.

        Each score says by which version: one that is promoted meanwhile answers the rest. Where a customer is wrong,
        InvalidRequest says which by its place in ``customers``, and no score is given.
        """
        scores: list[Prediction] = []
        rest = iter(customers)
        while chunk := list(islice(rest, _AT_ONCE)):
            try:
                answer = self._post("batch_predict", chunk)
            except InvalidRequest as e:
                raise e.moved_by(len(scores)) from None
            scores += _many(Prediction, answer, "predictions")
        return scores

    def explain(self, customer: Customer, reasons: int = 5) -> Explanation:
        """Score one customer and say what each feature adds; always by the version in production."""
        return _one(Explanation, self._post("explain", customer, params={"reasons": reasons}))

    def predict_events(self, events: Iterable[Mapping[str, Any]], as_of: date | str | None = None) -> EventsPrediction:
        """Score one customer from raw events, as the log has them. Counts what lies before midnight (UTC) at the start
        of ``as_of``; without it, of today."""
        body = {"events": list(events), "as_of": None if as_of is None else str(as_of)}
        return _one(EventsPrediction, self._post("predict/events", body))

    def top(
        self,
        limit: int = 20,
        *,
        minimum: float | None = None,
        decision: int | None = None,
        reason: str | None = None,
        search: str | None = None,
    ) -> TopList:
        """Tonight's riskiest customers. Filters: least probability, decision (0 or 1), the feature that raises the
        score most, part of the customer id."""
        wanted = {"limit": limit, "minimum": minimum, "decision": decision, "reason": reason, "search": search}
        given = {name: value for name, value in wanted.items() if value is not None}
        return _one(TopList, self._ask("GET", "top", params=given))

    def customer(self, customer_id: str) -> PublishedScore:
        """What was last published of one customer. Raises NotFound."""
        # Dots too: "." and ".." are steps in a path.
        path = quote(customer_id, safe="").replace(".", "%2E")
        return _one(PublishedScore, self._ask("GET", f"customers/{path}"))

    def health(self) -> Health:
        """How the API is. It answers without a model too."""
        return _one(Health, self._ask("GET", "health"))

    def model(self) -> ModelInfo:
        """What is served."""
        return _one(ModelInfo, self._ask("GET", "model/info"))

    def features(self) -> list[Feature]:
        """What a customer is described by."""
        return _many(Feature, self._ask("GET", "features"))

    def _post(self, path: str, body: Any, *, headers: Mapping[str, Any] | None = None, params: Any = None) -> Any:
        # NaN goes as it is: the API then names the field that it stood in.
        content = json.dumps(body, default=_plain).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self._ask("POST", path, content=content, headers=sent, params=params)

    def _ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        tried = 0
        while True:
            # Callers who were refused together do not come back together.
            wait = _FIRST_WAIT * 2**tried * random.uniform(0.75, 1.25)  # noqa: S311
            error: ApiError
            try:
                answer = self._http.request(method, path, **given)
            except httpx.HTTPError as e:
                error = Unreachable(None, f"{type(e).__name__}: {e}")
                again = isinstance(e, _LOST)  # what took too long would take as long again
            else:
                if answer.is_success:
                    return answer
                error = error_of(answer)
                again = isinstance(error, Busy)
                wait = wait if not isinstance(error, Busy) or error.retry_after is None else error.retry_after
            if not again or tried >= self._retries or wait > _LONGEST_WAIT:
                raise error
            sleep(wait)
            tried += 1


def _one(kind: Callable[..., T], answer: httpx.Response) -> T:
    return _parsed(answer, lambda body: read(kind, _headers(answer) | body | {"details": body}))


def _many(kind: Callable[..., T], answer: httpx.Response, name: str | None = None) -> list[T]:
    headers = _headers(answer)
    return _parsed(answer, lambda body: [read(kind, headers | row) for row in (body if name is None else body[name])])


def _headers(answer: httpx.Response) -> dict[str, Any]:
    """What stands in the headers; a body that says the same of itself is believed."""
    named = {"model_version": "X-Model-Version", "model": "X-Model"}
    return {name: answer.headers[header] for name, header in named.items() if header in answer.headers}


def _parsed(answer: httpx.Response, parse: Callable[[Any], T]) -> T:
    try:
        return parse(answer.json())
    except (ValueError, KeyError, TypeError) as e:
        raise ApiError(answer.status_code, f"this is no answer of the API: {type(e).__name__}: {e}") from e


def _plain(value: Any) -> Any:
    """What json does not write by itself: other mappings, and numpy's numbers, without numpy."""
    return dict(value) if isinstance(value, Mapping) else value.item()
