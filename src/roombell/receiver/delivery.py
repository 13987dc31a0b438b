"""What Roombell's headers tell of one delivery, beside the event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

HeaderLookup = Callable[[str], str | None]
"""The value of a request's header by its name, in whatever case; None if there is none."""

NUMBER_CHARS_MAX: Final = 19
"""A 64-bit number has no more digits."""
LANE_CHARS_MAX: Final = 1024
"""A longer name is none of Roombell's."""


class DeliveryInfo(msgspec.Struct, frozen=True):
    """How an event came. All is empty where the sender is LiveKit itself, which sends no such headers.

    The signature covers the body alone. Whoever can replay a webhook within its five minutes can put other values here:
    they are for order and gaps, never for rights.
    """

    webhook_id: str = ""
    """``Webhook-Id``: the event's id once more."""
    attempt: int | None = None
    """``Webhook-Attempt``: which attempt this is, from 1."""
    sequence: int | None = None
    """``Webhook-Sequence``: the place in the lane, from 1; a hole is a delivery that was given up."""
    lane: str = ""
    """``Webhook-Lane``: an opaque name; equal names mean one numbering."""

    @property
    def is_numbered(self) -> bool:
        """Whether lane and place are told: the sender is Roombell."""
        return self.sequence is not None and self.lane != ""

    @classmethod
    def from_headers(cls, header: HeaderLookup) -> DeliveryInfo:
        """Reads the headers of a request. What is absent or malformed is left empty: it makes no event untrue."""
        return cls(
            webhook_id=_text(header("Webhook-Id")),
            attempt=_number(header("Webhook-Attempt")),
            sequence=_number(header("Webhook-Sequence")),
            lane=_text(header("Webhook-Lane")),
        )


NO_DELIVERY: Final = DeliveryInfo()
"""What is known where there are no headers."""


def _text(value: str | None) -> str:
    """The value with its percent-encoding undone, as Roombell's sender makes it."""
    if not value or len(value) > LANE_CHARS_MAX:
        return ""
    if "%" not in value:
        return value
    from urllib.parse import unquote  # late: it takes its time to load, and few values need it

    return unquote(value)


def _number(value: str | None) -> int | None:
    if value is None or len(value) > NUMBER_CHARS_MAX or not (value.isascii() and value.isdecimal()):
        return None
    return int(value) or None
