"""``/api/v1``: what a person does to a running service, for the command line and whoever else has one of its keys.

Every request carries a token that gives the right to administrate (``KeyRing.sign_admin``); the address that it comes
from gives none. What takes long goes step by step: each request is one bounded step, and its answer says where the
next one begins, so that a request is short and an interrupted walk is taken up by whoever knows the place.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec

from roombell.engine.model import DeliveryState
from roombell.engine.operator import PER_STEP_MAX, Action, Operator, Selection
from roombell.engine.ports import Clock
from roombell.errors import PeerError, RoombellError, UsageError
from roombell.service.messages import Request, Response, json_response, response_to
from roombell.service.router import Router
from roombell.signing import KeyRing

_log = logging.getLogger("roombell.api")

PREFIX: Final = "/api/v1"
_LIMIT_DEFAULT: Final = 100
_NUMBERS: Final = ("since_ms", "until_ms", "limit")
_INTEGER: Final = re.compile(r"-?[0-9]{1,30}")

T = TypeVar("T")
Answering = Callable[[Request, str], Awaitable[object]]
"""Answers a request whose sender may do it; the second is who asks."""


class OperatorSource(Protocol):
    """What the API needs of a notifier."""

    @property
    def operator(self) -> Operator:
        """Does the work.

        :raises Stopped: the notifier is not running.
        """


class BadRequest(PeerError):
    """The request says something that cannot be understood, or cannot be done."""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a step: which deliveries are meant, and where the step begins."""

    selection: Selection = Selection()
    after: str = ""
    limit: int = PER_STEP_MAX
    dry_run: bool = False


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that names an endpoint."""

    endpoint: str


class _Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    endpoint: str | None = None
    lane: str | None = None
    room: str | None = None
    event_id: str | None = None
    state: tuple[DeliveryState, ...] = tuple(DeliveryState)
    since_ms: int | None = None
    until_ms: int | None = None
    after: str = ""
    limit: int = _LIMIT_DEFAULT


class Api:
    """The handlers."""

    def __init__(self, keys: KeyRing, source: OperatorSource, clock: Clock) -> None:
        self.keys = keys
        """May be replaced at any time: the next request is checked with the new ones."""
        self._source, self._clock = source, clock

    def add_to(self, router: Router) -> None:
        """Routes all its paths."""
        router.add(f"{PREFIX}/endpoints", GET=self._guarded(self._endpoints))
        router.add(f"{PREFIX}/deliveries", GET=self._guarded(self._deliveries))
        router.add(f"{PREFIX}/attempts", GET=self._guarded(self._attempts))
        router.add(f"{PREFIX}/pause", POST=self._guarded(self._pause))
        router.add(f"{PREFIX}/resume", POST=self._guarded(self._resume))
        for action in Action:
            router.add(f"{PREFIX}/{action.value}", POST=self._guarded(self._step(action)))

    def _guarded(self, answer: Answering) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                token = self.keys.verify_admin(request.text(b"authorization"), now=self._clock.now_ms() / 1000)
                return json_response(await answer(request, f"API key {token.api_key}"))
            except UsageError as error:
                return response_to(BadRequest(str(error)))
            except RoombellError as error:
                if error.status in (401, 403):
                    _log.warning("Refused %s of %s: %s", request.path, request.peer, error)
                return response_to(error)

        return handle

    async def _endpoints(self, _request: Request, _by: str) -> object:
        endpoints = await self._source.operator.endpoints()
        return {"endpoints": [_without_health(msgspec.structs.asdict(endpoint)) for endpoint in endpoints]}

    async def _deliveries(self, request: Request, _by: str) -> object:
        query = _query(request)
        selection = Selection(
            endpoint=query.endpoint,
            lane=query.lane,
            room=query.room,
            event_id=query.event_id,
            states=query.state,
            since_ms=query.since_ms,
            until_ms=query.until_ms,
        )
        return await self._source.operator.deliveries(selection, after=query.after, limit=query.limit)

    async def _attempts(self, request: Request, _by: str) -> object:
        event_id = _query(request).event_id
        if event_id is None:
            raise BadRequest("event_id is missing: /api/v1/attempts?event_id=EV_...")
        return {"deliveries": await self._source.operator.attempts(event_id)}

    async def _pause(self, request: Request, by: str) -> object:
        await self._source.operator.pause(_body(request, Named).endpoint, by=by)
        return {}

    async def _resume(self, request: Request, by: str) -> object:
        await self._source.operator.resume(_body(request, Named).endpoint, by=by)
        return {}

    def _step(self, action: Action) -> Answering:
        async def step(request: Request, by: str) -> object:
            order = _body(request, Order)
            return await self._source.operator.step(
                action, order.selection, after=order.after, limit=order.limit, dry_run=order.dry_run, by=by
            )

        return step


def _without_health(status: dict[str, object]) -> dict[str, object]:
    """What the engine keeps of an endpoint's health is its own business."""
    del status["health"]
    return status


def _body(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(request.body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body cannot be used: {error}") from None


def _query(request: Request) -> _Query:
    fields: dict[str, object] = {}
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, strict_parsing=bool(request.query), errors="strict")
        states = [value for name, value in pairs if name == "state"]
        fields = {name: _number(name, value) if name in _NUMBERS else value for name, value in pairs if name != "state"}
        if states:
            fields["state"] = states
        return msgspec.convert(fields, _Query)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadRequest(f"The query cannot be used: {error}") from None


def _number(name: str, value: str) -> int:
    if not _INTEGER.fullmatch(value):
        raise BadRequest(f"{name} must be a whole number, not {value[:60]!a}.")
    return int(value)
