"""What a receiver does with a request, without the request: bytes and a header in, an event or an error out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from roombell.errors import BodyTooLarge, UsageError
from roombell.events import WebhookEvent, parse
from roombell.signing import LEEWAY_S, KeyRing

BODY_BYTES_MAX: Final = 1024 * 1024
"""The largest body that is taken by default. LiveKit's webhooks have a few kilobytes, metadata apart."""


class ReceiverCore:
    """Verifies and decodes webhooks; holds no state between two of them, so it may be shared by threads.

    :param keys: API secrets by key name, several while keys are rotated; or a key ring.
    :param leeway_s: how far the sender's clock may be off.
    :param body_bytes_max: bodies above this are refused.
    :param now: the clock: unix seconds.
    :raises UsageError: no key, or an empty one.
    """

    __slots__ = ("_leeway_s", "_now", "_ring", "body_bytes_max")

    def __init__(
        self,
        keys: Mapping[str, str] | KeyRing,
        *,
        leeway_s: int = LEEWAY_S,
        body_bytes_max: int = BODY_BYTES_MAX,
        now: Callable[[], float],
    ) -> None:
        self._ring = keys if isinstance(keys, KeyRing) else KeyRing(keys)
        self._leeway_s = leeway_s
        self.body_bytes_max = body_bytes_max
        self._now = now

    def receive(self, body: bytes | bytearray | memoryview, authorization: str | None) -> WebhookEvent:
        """The event in a webhook that was signed by one of our keys.

        :param body: the request's body, exactly as it came: not decoded, not parsed.
        :param authorization: the value of the ``Authorization`` header, None if there is none.
        :raises BodyTooLarge: over ``body_bytes_max`` (413).
        :raises SignatureError: not signed by one of the keys (401); the children in ``roombell.signing`` say how.
        :raises EventError: rightly signed, but no LiveKit webhook event (400).
        :raises UsageError: ``body`` is text or a decoded object.
        """
        raw = _raw(body)
        if len(raw) > self.body_bytes_max:
            raise BodyTooLarge(self.body_bytes_max)
        self._ring.verify(authorization, raw, now=self._now(), leeway_s=self._leeway_s)
        return parse(raw)


def _raw(body: object) -> bytes:
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise UsageError(
        f"The body must be the request's raw bytes; {type(body).__name__} was given. Read it before anything decodes "
        "it: `await request.body()` in Starlette and FastAPI, `request.get_data()` in Flask, `request.body` in Django, "
        "`await request.read()` in aiohttp."
    )
