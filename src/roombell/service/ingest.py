"""``POST /webhook``: takes LiveKit's webhooks, and answers when they are on disk.

The content type is ignored: LiveKit sent ``application/json`` until 2022 and sends ``application/webhook+json``
since, and neither makes a body more of an event.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from roombell.engine.model import Accepted
from roombell.engine.ports import Clock
from roombell.errors import ReceiveError, RoombellError, ServiceError
from roombell.events import WebhookEvent, parse
from roombell.service.messages import Answer, Deferred, Request, Response, json_response, response_to
from roombell.signing import KeyRing, NoAuthorization

_log = logging.getLogger("roombell.ingest")
_SAID_AGAIN_AFTER_S: Final = 1.0

AUTHORIZATION: Final = b"authorization"


class Submitter(Protocol):
    """What the ingest needs of a notifier."""

    def submit(self, event: WebhookEvent) -> asyncio.Future[Accepted]:
        """Takes an event; the future ends when it is on disk, with a ``ServiceError`` if it cannot be written.

        :raises ServiceError: it cannot be taken now.
        """


class Taken(msgspec.Struct, frozen=True, gc=False):
    """The body of a 200."""

    id: str
    duplicate: bool


class Ingest:
    """The handler, and what it counts."""

    def __init__(self, keys: KeyRing, notifier: Submitter, clock: Clock) -> None:
        self.keys = keys
        """May be replaced at any time: the next request is checked with the new ones."""
        self.waiting = 0
        """Events that were handed over and are not yet on disk."""
        self._notifier = notifier
        self._clock = clock
        self._rejected: defaultdict[str, int] = defaultdict(int)
        self._said_at_s: dict[str, float] = {}

    @property
    def rejected_by_code(self) -> Mapping[str, int]:
        """How many webhooks were refused, by the error's code. A live view."""
        return self._rejected

    def handle(self, request: Request) -> Answer:
        """200 with ``{"id": …, "duplicate": …}`` once the event is on disk.

        400 it is no webhook event; 401 it is not signed by one of our keys; 503 with ``Retry-After`` it cannot be
        taken or written now. A client that goes away while it waits changes nothing: the event is taken.
        """
        try:
            self.keys.verify(request.text(AUTHORIZATION), request.body, now=self._clock.now_ms() / 1000)
            event = parse(request.body)
            future = self._notifier.submit(event)
        except RoombellError as error:
            return self._rejection(error, request)
        self.waiting += 1
        return _Waiting(self, request, event.id, future)

    def early(self, request: Request) -> Response | None:
        """Refuses before the body is sent what no body can mend: a request without a signature."""
        return None if AUTHORIZATION in request.headers else self._rejection(NoAuthorization(), request)

    def settled(self, request: Request, event_id: str, future: asyncio.Future[Accepted]) -> Response:
        """The answer to an event that is on disk, or could not be written."""
        self.waiting -= 1
        if future.cancelled():
            return self._rejection(ServiceError("The service stopped before the event was written."), request)
        error = future.exception()
        if error is None:
            return json_response(Taken(event_id, future.result().duplicate))
        if isinstance(error, RoombellError):
            return self._rejection(error, request)
        raise error

    def _rejection(self, error: RoombellError, request: Request) -> Response:
        self._rejected[error.code] += 1
        self._say(error, request)
        return response_to(error)

    def _say(self, error: RoombellError, request: Request) -> None:
        """One line a second for each reason: whoever sets things up must see why, and nobody can flood the log."""
        now_s = self._clock.monotonic()
        said_at_s = self._said_at_s.get(error.code)
        if said_at_s is not None and now_s - said_at_s < _SAID_AGAIN_AFTER_S:
            return
        self._said_at_s[error.code] = now_s
        whose = "the sender's" if isinstance(error, ReceiveError) else "our own"
        _log.warning("Refused a webhook from %s with %d, by %s fault: %s", request.peer, error.status, whose, error)


class _Waiting(Deferred):
    """The answer to an event that is on its way to the disk."""

    __slots__ = ("_event_id", "_future", "_ingest", "_request")

    def __init__(self, ingest: Ingest, request: Request, event_id: str, future: asyncio.Future[Accepted]) -> None:
        self._ingest = ingest
        self._request = request
        self._event_id = event_id
        self._future = future

    def when_done(self, callback: Callable[[object], None], /) -> None:
        self._future.add_done_callback(callback)

    def response(self) -> Response:
        return self._ingest.settled(self._request, self._event_id, self._future)
