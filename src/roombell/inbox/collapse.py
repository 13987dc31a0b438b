"""Which events say the same under different ids. Pure.

LiveKit's server tells of an egress whenever the egress' worker reports, and before it has written the report down. A
worker whose report was not acknowledged repeats it, for up to a minute, and each time a new webhook with a new id goes
out (``pkg/service/ioservice.go`` of livekit/livekit). No id tells that they are one; what they say does.

So two events are one if they are of one type and one egress and say the same of it, every field alike. Ids and times
of sending are not part of what is said; of an end, neither is ``updatedAt``, since an end that is reported again is no
other end. Whatever differs is kept, since it may be the truth: LiveKit is known to tell of an end that was none, and
later of the real one, with other times (community.livekit.io/t/1339). A rule of "one end for each egress" would keep
the wrong one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from roombell.errors import UsageError
from roombell.events import WebhookEvent
from roombell.events.names import EGRESS_ENDED, EGRESS_STARTED, EGRESS_UPDATED

_DIGEST_BYTES: Final = 16
_EGRESS_ID_CHARS_MAX: Final = 64
_NOT_SAID_BY_AN_END: Final = ("updatedAt", "updated_at")


class Collapse(StrEnum):
    """A rule by which events with different ids count as one. Its value is the type of the events that it is for."""

    EGRESS_STARTED = EGRESS_STARTED
    EGRESS_UPDATED = EGRESS_UPDATED
    EGRESS_ENDED = EGRESS_ENDED


_RULES: Final = frozenset(Collapse)


class _Wire(msgspec.Struct, gc=False):
    info_: dict[str, object] | None = msgspec.field(default=None, name="egressInfo")
    info: dict[str, object] | None = msgspec.field(default=None, name="egress_info")


_decode: Final = msgspec.json.Decoder(_Wire).decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def rules(names: Iterable[str]) -> frozenset[Collapse]:
    """The rules with these names.

    :raises UsageError: there is no such rule.
    """
    try:
        return frozenset(map(Collapse, names))
    except ValueError as error:
        raise UsageError(f"{error}; the rules to collapse by are: {', '.join(Collapse)}.") from None


def inbox_id(event: WebhookEvent, rules: frozenset[Collapse] = _RULES) -> str:
    """The id under which the inbox keeps an event; of two with equal ids the second is dropped.

    It is the event's own, but for events that a rule is for: then it is made of what they say, and begins with their
    type and their egress' id, as in ``egress_ended/EG_x/0f3c…``. What cannot be compared keeps its own id.
    """
    if event.type not in rules or not event.egress_id:
        return event.id
    try:
        digest = hashlib.blake2b(_said(event), digest_size=_DIGEST_BYTES).hexdigest()
    except (msgspec.MsgspecError, RecursionError, UnicodeError, OverflowError):
        return event.id
    return f"{event.type}/{event.egress_id[:_EGRESS_ID_CHARS_MAX]}/{digest}"


def _said(event: WebhookEvent) -> bytes:
    """What an event says of its egress, written in one way."""
    wire = _decode(event.raw)
    said = wire.info_ or wire.info or {}
    if event.type == Collapse.EGRESS_ENDED:
        said = {name: value for name, value in said.items() if name not in _NOT_SAID_BY_AN_END}
    return _encode(said)
