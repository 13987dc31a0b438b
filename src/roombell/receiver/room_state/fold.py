"""One event applied to what is remembered of its room.

The theory. LiveKit's events are neither complete nor in order, and its ids do not tell all lives apart, so no single
event is taken for the truth; each is a piece of evidence.

- Whoever left is gone: a departure counts as soon as it is told, whatever comes before or after it, and a joining that
  was made before it changes nothing.
- What follows from something else (a room that starts while one of its name goes on; a second session of an identity)
  makes a **doubt**: what is doubted is not shown, and comes back with the first sign of life. When the room's events
  are ``late_s`` further and no sign came, the doubt becomes a conclusion, and users are told.
- The times that decide are the events' own ``createdAt``, whole seconds. Within one second the order of arrival counts.
- What is not there when it should be makes a **check**, and the check, when it is due, looks at what is known then. So
  an event that is merely late raises no alarm.

Rejected: to order events by time before they are applied (``createdAt`` is of one second and made late, livekit emits
from several queues), and to keep counters (they go negative, livekit#1130).
"""

from __future__ import annotations

from roombell.events import names
from roombell.receiver.room_state import checks, egresses, ingresses, lives, people
from roombell.receiver.room_state.changes import Change
from roombell.receiver.room_state.model import RoomLimits, RoomRecord
from roombell.receiver.room_state.turn import Turn
from roombell.receiver.views import EventView


def fold(record: RoomRecord, told: EventView, limits: RoomLimits) -> tuple[Change, ...]:
    """Applies an event to the record of its room's name, and gives what changed by it, in order.

    Events of one record are to be applied one after the other; in which order does not matter much.

    :raises EventError: the event lacks what its type is about; nothing has changed then.
    """
    turn = Turn(record, told, limits)
    step = _STEPS.get(told.event.type)
    if step is None:
        return ()
    step(turn)
    record.now = max(record.now, turn.at)
    checks.look(turn, record.now)
    checks.forget(turn, record.now)
    return tuple(turn.changes)


def settle(record: RoomRecord, now: int, limits: RoomLimits) -> tuple[Change, ...]:
    """Does what is due by ``now`` (unix seconds) though no event came: doubts that became conclusions, rooms that
    waited long enough for a recording's end, and what may be forgotten. To be called once in a while.
    """
    turn = Turn(record, None, limits)
    checks.look(turn, now)
    checks.forget(turn, now)
    return tuple(turn.changes)


_STEPS = {
    names.ROOM_STARTED: lives.started,
    names.ROOM_FINISHED: lives.finished,
    names.PARTICIPANT_JOINED: people.joined,
    names.PARTICIPANT_LEFT: people.left,
    names.PARTICIPANT_CONNECTION_ABORTED: people.aborted,
    names.TRACK_PUBLISHED: people.published,
    names.TRACK_UNPUBLISHED: people.unpublished,
    names.EGRESS_STARTED: egresses.told,
    names.EGRESS_UPDATED: egresses.told,
    names.EGRESS_ENDED: egresses.told,
    names.INGRESS_STARTED: ingresses.started,
    names.INGRESS_ENDED: ingresses.ended,
}
