"""How a test makes a recording fail with nothing but its request: an order in a path or an address.

``recordings/roombell-fail-after-30s/{room_name}.mp4`` is recorded for 30 s, then fails. An order without a time is
followed at once. An application's own code asks for the recording, so what it does with the failure is tested whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec


class OrderKind(StrEnum):
    """What can be ordered."""

    FAIL = "fail"
    ABORT = "abort"
    LIMIT = "limit"
    EMPTY = "empty"
    """The recording ends well, with nothing in it."""
    STUCK = "stuck"
    """It never leaves its first state by itself."""


class Order(msgspec.Struct, frozen=True):
    """One order, to be followed ``after_ms`` from when the recording runs; None: before it does."""

    kind: OrderKind
    after_ms: int | None = None


_ORDER: Final = re.compile(rf"roombell-({'|'.join(OrderKind)})(?:-after-([0-9]{{1,6}})s)?(?![A-Za-z0-9])")


def order_in(texts: Iterable[str]) -> Order | None:
    """The first order in these texts."""
    for text in texts:
        found = _ORDER.search(text)
        if found:
            return Order(OrderKind(found[1]), int(found[2]) * 1000 if found[2] else None)
    return None
