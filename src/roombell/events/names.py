"""The names of LiveKit's webhook events, and the families they belong to.

Source: ``webhook/consts.go`` and ``livekit_webhook.proto`` of livekit/protocol. The list is open: a server newer than
this list may send other names, and they are taken and delivered like any.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

ROOM_STARTED: Final = "room_started"
ROOM_FINISHED: Final = "room_finished"
PARTICIPANT_JOINED: Final = "participant_joined"
PARTICIPANT_LEFT: Final = "participant_left"
PARTICIPANT_CONNECTION_ABORTED: Final = "participant_connection_aborted"
TRACK_PUBLISHED: Final = "track_published"
TRACK_UNPUBLISHED: Final = "track_unpublished"
EGRESS_STARTED: Final = "egress_started"
EGRESS_UPDATED: Final = "egress_updated"
EGRESS_ENDED: Final = "egress_ended"
INGRESS_STARTED: Final = "ingress_started"
INGRESS_ENDED: Final = "ingress_ended"
AGENT_JOB_PENDING: Final = "agent_job_pending"
AGENT_JOB_STARTED: Final = "agent_job_started"
AGENT_JOB_ENDED: Final = "agent_job_ended"

EVENT_TYPES: Final = (
    ROOM_STARTED,
    ROOM_FINISHED,
    PARTICIPANT_JOINED,
    PARTICIPANT_LEFT,
    PARTICIPANT_CONNECTION_ABORTED,
    TRACK_PUBLISHED,
    TRACK_UNPUBLISHED,
    EGRESS_STARTED,
    EGRESS_UPDATED,
    EGRESS_ENDED,
    INGRESS_STARTED,
    INGRESS_ENDED,
    AGENT_JOB_PENDING,
    AGENT_JOB_STARTED,
    AGENT_JOB_ENDED,
)
"""Every event type known today, in the order in which a call meets them. Agent jobs: LiveKit Cloud only."""

ROOM_COMPLETE: Final = "room_complete"
ANOMALY: Final = "anomaly"
DERIVED_TYPES: Final = (ROOM_COMPLETE, ANOMALY)
"""Events that LiveKit does not send: an inbox that keeps the room state makes them of those that it does."""


class EventFamily(StrEnum):
    """What an event is about."""

    ROOM = "room"
    PARTICIPANT = "participant"
    TRACK = "track"
    EGRESS = "egress"
    INGRESS = "ingress"
    JOB = "job"
    UNKNOWN = "unknown"


_FAMILY_BY_PREFIX: Final = {
    "room": EventFamily.ROOM,
    "participant": EventFamily.PARTICIPANT,
    "track": EventFamily.TRACK,
    "egress": EventFamily.EGRESS,
    "ingress": EventFamily.INGRESS,
    "agent_job": EventFamily.JOB,
}


def family_of(event_type: str) -> EventFamily:
    """The family an event type belongs to, by the name before its last words; ``UNKNOWN`` for a foreign name."""
    for prefix, family in _FAMILY_BY_PREFIX.items():
        if event_type.startswith(prefix + "_"):
            return family
    return EventFamily.UNKNOWN
