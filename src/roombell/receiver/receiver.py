"""The receiver with the machine's clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from roombell.receiver.core import BODY_BYTES_MAX, ReceiverCore
from roombell.signing import LEEWAY_S, KeyRing


class Receiver(ReceiverCore):
    """Verifies and decodes LiveKit's webhooks, and Roombell's.

    ::

        receiver = Receiver(keys={"APIabc": "secret"})
        event = receiver.receive(body, authorization)

    :param keys: API secrets by key name, several while keys are rotated; or a key ring.
    :param leeway_s: how far the sender's clock may be off.
    :param body_bytes_max: bodies above this are refused.
    :param now: the clock: unix seconds.
    :raises UsageError: no key, or an empty one.
    """

    __slots__ = ()

    def __init__(
        self,
        keys: Mapping[str, str] | KeyRing,
        *,
        leeway_s: int = LEEWAY_S,
        body_bytes_max: int = BODY_BYTES_MAX,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(keys, leeway_s=leeway_s, body_bytes_max=body_bytes_max, now=now)
