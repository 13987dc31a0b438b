"""What LiveKit really sends now and then, to test one's handlers against.

Each function makes the events of one public report, in the order in which they arrive, and its docstring names the
report. All take a factory, so that several can be told one after another, and a room's name. ``MISBEHAVIOURS`` has all
of them by name, for a parametrized test.

``livekit#N`` is an issue of livekit/livekit on GitHub, likewise for other repositories; ``community N`` is a topic of
community.livekit.io. What bears no number is read in LiveKit's source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from roombell.events import WebhookEvent
from roombell.testing.factory import EventFactory
from roombell.testing.misbehaviours.participants import (
    aborted_after_connected,
    aborted_after_joined,
    joined_and_left_lost,
    left_after_rejoin,
    left_before_joined,
    left_for_duplicate_identity,
    left_without_joined,
    never_connected,
    participant_moved,
    stale_participant_count,
    track_before_joined,
)
from roombell.testing.misbehaviours.recordings import (
    egress_ended_after_room,
    egress_ended_lost,
    egress_ended_twice,
    egress_failed,
    egress_not_launched,
    egress_start_lost,
    egress_update_repeated,
    egress_without_status,
    negative_duration,
    recording_without_room,
    results_uneven,
)
from roombell.testing.misbehaviours.rooms import (
    finish_lost,
    ingress_without_room_sid,
    node_crash,
    phantom_on_delete,
    phantom_under_same_sid,
    recreated_while_draining,
    room_metadata_missing,
    sid_used_again,
    two_sids_at_once,
)

Misbehaviour = Callable[[EventFactory, str], list[WebhookEvent]]

MISBEHAVIOURS: Final[dict[str, Misbehaviour]] = {
    each.__name__: each
    for each in (
        left_after_rejoin,
        left_for_duplicate_identity,
        left_without_joined,
        left_before_joined,
        aborted_after_connected,
        aborted_after_joined,
        never_connected,
        track_before_joined,
        joined_and_left_lost,
        participant_moved,
        stale_participant_count,
        phantom_on_delete,
        phantom_under_same_sid,
        recreated_while_draining,
        sid_used_again,
        two_sids_at_once,
        finish_lost,
        node_crash,
        room_metadata_missing,
        ingress_without_room_sid,
        egress_ended_after_room,
        egress_ended_twice,
        egress_update_repeated,
        egress_ended_lost,
        egress_start_lost,
        egress_without_status,
        egress_failed,
        egress_not_launched,
        negative_duration,
        results_uneven,
        recording_without_room,
    )
}
"""All of them, by their names."""

__all__ = [
    "MISBEHAVIOURS",
    "Misbehaviour",
    "aborted_after_connected",
    "aborted_after_joined",
    "egress_ended_after_room",
    "egress_ended_lost",
    "egress_ended_twice",
    "egress_failed",
    "egress_not_launched",
    "egress_start_lost",
    "egress_update_repeated",
    "egress_without_status",
    "finish_lost",
    "ingress_without_room_sid",
    "joined_and_left_lost",
    "left_after_rejoin",
    "left_before_joined",
    "left_for_duplicate_identity",
    "left_without_joined",
    "negative_duration",
    "never_connected",
    "node_crash",
    "participant_moved",
    "phantom_on_delete",
    "phantom_under_same_sid",
    "recording_without_room",
    "recreated_while_draining",
    "results_uneven",
    "room_metadata_missing",
    "sid_used_again",
    "stale_participant_count",
    "track_before_joined",
    "two_sids_at_once",
]
