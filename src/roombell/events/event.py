"""A webhook event: the bytes that came, and the few fields that routing, ordering and de-duplication need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from roombell.events import protobuf
from roombell.events.names import EventFamily, family_of

if TYPE_CHECKING:
    from livekit.protocol import webhook


class WebhookEvent(msgspec.Struct, frozen=True, gc=False, eq=False):
    """An event as it came over the wire, with what it is about reachable in the same way whatever its family.

    A field that the event does not carry is ``""`` (``created_at``: 0). Equal bytes make equal events. The
    representation shows no body: bodies carry TURN passwords and stream keys.
    """

    raw: bytes
    """The body exactly as it came. It is what is stored, hashed, signed and delivered."""
    type: str
    """LiveKit's event name, as ``participant_joined``; never empty, and not always one of ``EVENT_TYPES``."""
    id: str
    """The key for de-duplication. Servers of before 2022 send none: then it is made of the body's hash."""
    created_at: int
    """Unix seconds at which the server made the event; of no use for ordering within a second."""
    ordering_key: str
    """Events with equal keys are delivered in order. LiveKit's own key; never empty."""
    room_name: str
    room_sid: str
    """Empty for an ingress that has not joined its room."""
    participant_identity: str
    """Whose event it is: the participant, the ingress' participant, or the one an agent's job is for."""
    participant_sid: str
    """Tells two sessions of one identity apart."""
    track_sid: str
    egress_id: str
    ingress_id: str
    job_id: str

    @property
    def family(self) -> EventFamily:
        """What the event is about, by its type's name."""
        return family_of(self.type)

    @property
    def message(self) -> webhook.WebhookEvent:
        """The official protobuf message, decoded anew at each call (about 100 us); unknown fields are ignored.

        :raises UsageError: ``livekit-protocol`` is not installed.
        :raises EventError: a field that Roombell does not read itself is not what LiveKit's schema says.
        """
        return protobuf.decode(self.raw)

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, WebhookEvent) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        told = " ".join(f"{name}={value!r}" for name, value in self._told() if value)
        return f"<WebhookEvent {told} {len(self.raw)} bytes>"

    def __rich_repr__(self) -> list[tuple[str, str]]:  # msgspec's own would show the body
        return [(name, value) for name, value in self._told() if value]

    def _told(self) -> tuple[tuple[str, str], ...]:
        return (
            ("type", self.type),
            ("id", self.id),
            ("room", self.room_name),
            ("participant", self.participant_identity),
            ("track", self.track_sid),
            ("egress", self.egress_id),
            ("ingress", self.ingress_id),
            ("job", self.job_id),
        )
