"""A receiver that shows what it gets: verifies, notices gaps, hands on."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import unquote

import msgspec

from roombell.cli.http_client import Reply, fetch
from roombell.engine.ports import Clock
from roombell.errors import EventError, ReceiveError
from roombell.events import WebhookEvent, parse
from roombell.service.messages import Answer, Request, Response, error_response, json_response, response_to
from roombell.service.router import Router, Target
from roombell.signing import KeyRing
from roombell.transport.failures import Trouble

FORWARD_TIMEOUT_S: Final = 30.0
FORWARDS_MAX: Final = 64
"""How many requests are handed on at once; more wait."""
LANES_MAX: Final = 10_000
"""How many lanes are remembered; of the longest unheard one the numbering is forgotten."""

_HANDED_ON: Final = ("authorization", "content-type", "user-agent")
_PREFIX: Final = "webhook-"
_BACK: Final = ("content-type", "retry-after")


class Forwarded(msgspec.Struct, frozen=True):
    """What became of a webhook that was handed on."""

    status: int
    """What the sender got: the target's own status, 502 where the target did not answer."""
    duration_ms: int
    error: str = ""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook, as it is shown and as ``--json`` writes it. Nothing of its body, which may hold secrets."""

    received_at_ms: int
    verified: bool
    api_key: str = ""
    error: str = ""
    """Why it is not verified or is no event."""
    event: str = ""
    id: str = ""
    room: str = ""
    participant: str = ""
    track: str = ""
    egress: str = ""
    ingress: str = ""
    lane: str = ""
    sequence: int = 0
    """Its place in the lane; 0 where the sender does not tell."""
    attempt: int = 0
    missing: int = 0
    """How many deliveries of the lane are missing before it."""
    repeated: bool = False
    """Its place in the lane was received before."""
    body_bytes: int = 0
    forwarded: Forwarded | None = None


class Lanes:
    """Notices holes in the numbers that a sender gives its deliveries."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()

    def take(self, lane: str, sequence: int) -> tuple[int, bool]:
        """How many are missing before this one, and whether it is a repeat.

        Of a lane that was not heard before nothing is missing: it may be older than this listener.
        """
        if not lane or not sequence:
            return 0, False
        last = self._last.pop(lane, None)
        self._last[lane] = sequence if last is None else max(last, sequence)
        if len(self._last) > LANES_MAX:
            self._last.popitem(last=False)
        if last is None:
            return 0, False
        return max(0, sequence - last - 1), sequence <= last


class AnyPath(Router):
    """Every path leads to one handler."""

    def __init__(self, handler: Callable[[Request], Answer]) -> None:
        super().__init__()
        self._handler = handler

    def find(self, _method: str, raw: bytes) -> Target | None:
        """The one target, whatever the path."""
        path = raw.decode("latin-1")
        return Target(path, "", {"POST": self._handler}, _not_a_post)


class Listener:
    """Receives webhooks and shows each.

    :param show: called with each webhook when it is answered.
    :param forward_to: where to hand webhooks on; empty for nowhere.
    """

    def __init__(self, keys: KeyRing, clock: Clock, show: Callable[[Received], None], forward_to: str = "") -> None:
        self._keys = keys
        self._clock = clock
        self._show = show
        self._forward_to = forward_to
        self._lanes = Lanes()
        self._pool = ThreadPoolExecutor(FORWARDS_MAX, thread_name_prefix="roombell forward")

    def close(self) -> None:
        """Waits for what is being handed on."""
        self._pool.shutdown()

    def receive(self, request: Request) -> Answer:
        """Answers as a receiver would; where it hands on, with the target's answer."""
        received, error = self._look(request)
        if self._forward_to:
            return self._forward(request, received)
        self._show(received)
        return json_response({"status": "ok"}) if error is None else response_to(error)

    def _look(self, request: Request) -> tuple[Received, ReceiveError | None]:
        now_ms = self._clock.now_ms()
        lane = unquote(request.text(b"webhook-lane") or "")
        sequence, attempt = _number(request, b"webhook-sequence"), _number(request, b"webhook-attempt")
        received = Received(
            received_at_ms=now_ms,
            verified=False,
            lane=lane,
            sequence=sequence,
            attempt=attempt,
            body_bytes=len(request.body),
        )
        try:
            token = self._keys.verify(request.text(b"authorization"), request.body, now=now_ms / 1000)
            event = parse(request.body)
        except ReceiveError as error:
            return msgspec.structs.replace(received, error=str(error), event=_claimed_type(request.body)), error
        missing, repeated = self._lanes.take(lane, sequence)
        return _with_event(received, event, token.api_key, missing=missing, repeated=repeated), None

    async def _forward(self, request: Request, received: Received) -> Response:
        loop = asyncio.get_running_loop()
        reply = await loop.run_in_executor(self._pool, self._post, request)
        if isinstance(reply, Trouble):
            forwarded = Forwarded(502, 0, reply.detail)
            response = error_response(502, "bad_gateway", reply.detail)
        else:
            forwarded = Forwarded(reply.status, reply.duration_ms)
            response = _handed_back(reply)
        self._show(msgspec.structs.replace(received, forwarded=forwarded))
        return response

    def _post(self, request: Request) -> Reply | Trouble:
        headers = tuple(
            (name, value)
            for name, value in (
                (raw.decode("latin-1"), text.decode("latin-1")) for raw, text in request.headers.items()
            )
            if name in _HANDED_ON or name.startswith(_PREFIX)
        )
        return fetch("POST", self._forward_to, headers=headers, body=request.body, timeout_s=FORWARD_TIMEOUT_S)


def _with_event(received: Received, event: WebhookEvent, api_key: str, *, missing: int, repeated: bool) -> Received:
    return msgspec.structs.replace(
        received,
        verified=True,
        api_key=api_key,
        event=event.type,
        id=event.id,
        room=event.room_name,
        participant=event.participant_identity,
        track=event.track_sid,
        egress=event.egress_id,
        ingress=event.ingress_id,
        missing=missing,
        repeated=repeated,
    )


def _claimed_type(body: bytes) -> str:
    """What a body that nobody vouches for says it is."""
    try:
        return parse(body).type
    except EventError:
        return ""


def _number(request: Request, name: bytes) -> int:
    text = request.text(name) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0  # noqa: PLR2004


def _handed_back(reply: Reply) -> Response:
    told = {name: value.encode("latin-1") for name, value in reply.headers.items() if name in _BACK}
    content_type = told.pop("content-type", b"application/octet-stream")
    return Response(reply.status, reply.body, content_type, tuple((name.encode(), v) for name, v in told.items()))


def _not_a_post(request: Request) -> Response:
    message = f"This is `roombell listen`: it takes webhooks by POST, and this was a {request.method}."
    return error_response(405, "method_not_allowed", message, ((b"allow", b"POST"),))
