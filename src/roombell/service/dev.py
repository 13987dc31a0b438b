"""What ``--dev`` adds: an endpoint of our own that shows what is delivered to it, on the terminal and on a page."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from roombell.engine.ports import Clock
from roombell.errors import ReceiveError
from roombell.receiver.core import ReceiverCore
from roombell.service.dev_page import Shown, page
from roombell.service.messages import HTML, Request, Response, json_response, response_to
from roombell.signing import KeyRing

ENDPOINT_PATH: Final = "/dev/endpoint"
DELIVERIES_PATH: Final = "/dev/deliveries"
TABLE_PATH: Final = "/dev/table"

_SHOWN_MAX: Final = 500
_TEXT_CHARS_MAX: Final = 200
_POLICY: Final = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


class DevEndpoint:
    """Receives webhooks as a user's backend would: verifies with the same keys, answers 200, shows them.

    :param show: called with each delivery.
    """

    def __init__(self, keys: KeyRing, clock: Clock, show: Callable[[Shown], None]) -> None:
        self._clock = clock
        self._receiver = ReceiverCore(keys, now=lambda: clock.now_ms() / 1000)
        self._show = show
        self._deliveries: deque[Shown] = deque(maxlen=_SHOWN_MAX)

    def use_keys(self, keys: KeyRing) -> None:
        """Verifies with ``keys`` from now on."""
        self._receiver = ReceiverCore(keys, now=lambda: self._clock.now_ms() / 1000)

    def receive(self, request: Request) -> Response:
        """``POST /dev/endpoint``: 200, or what a receiver answers to a webhook it refuses."""
        try:
            event = self._receiver.receive(request.body, request.text(b"authorization"))
        except ReceiveError as error:
            self._take(Shown(self._clock.now_ms(), verified=False, error=_short(str(error))))
            return response_to(error)
        self._take(
            Shown(
                self._clock.now_ms(),
                verified=True,
                event=_short(event.type),
                event_id=_short(event.id),
                room=_short(event.room_name),
                participant=_short(event.participant_identity),
                track=_short(event.track_sid),
                egress=_short(event.egress_id),
                ingress=_short(event.ingress_id),
                lane=_short(event.ordering_key),
                sequence=_short(request.text(b"webhook-sequence") or ""),
                attempt=_short(request.text(b"webhook-attempt") or ""),
            )
        )
        return json_response({"status": "ok"})

    def deliveries(self, _request: Request) -> Response:
        """``GET /dev/deliveries``: the last ones, newest first."""
        return json_response({"deliveries": tuple(reversed(self._deliveries))})

    def page(self, _request: Request) -> Response:
        """``GET /dev/table``: the same for people; without rooms it is the home page too."""
        html = page(tuple(reversed(self._deliveries)))
        headers = (
            (b"content-security-policy", _POLICY),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        )
        return Response(200, html.encode(), HTML, headers)

    def _take(self, shown: Shown) -> None:
        self._deliveries.append(shown)
        self._show(shown)


def _short(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS_MAX else text[: _TEXT_CHARS_MAX - 1] + "…"
