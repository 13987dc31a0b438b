"""The room server's state as one pure machine: commands in, events and notices out.

It does no I/O and reads no clock: whoever owns it says what time it is (``at``), calls a command, and takes what
follows (``take_effects``). What falls due on the way happens at its own time, in order, so that a machine that is told
the time once an hour makes the same events as one that is told every second.

A command either happens whole or raises ``Refused`` and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from roombell.errors import UsageError
from roombell.rooms.dispatching import Dispatches
from roombell.rooms.effects import Effect
from roombell.rooms.egress import Egresses
from roombell.rooms.ingress import Ingresses
from roombell.rooms.leaving import Leaving
from roombell.rooms.opening import Rooms
from roombell.rooms.participants import Participants
from roombell.rooms.settings import RoomSettings
from roombell.rooms.tracks import Tracks
from roombell.rooms.world import World


class Machine:
    """Rooms, participants, tracks, recordings, ingresses and dispatches, each with its commands.

    :param token_bytes: so many random bytes, as ``secrets.token_bytes`` gives them: ids are made of them.
    """

    def __init__(self, *, settings: RoomSettings | None = None, token_bytes: Callable[[int], bytes]) -> None:
        self._world = world = World(settings or RoomSettings(), token_bytes)
        self.tracks = Tracks(world)
        leaving = Leaving(world, self.tracks)
        self.rooms = Rooms(world, leaving)
        self.participants = Participants(world, self.rooms, self.tracks, leaving)
        self.egresses = Egresses(world, self.participants)
        self.ingresses = Ingresses(world, self.participants, self.tracks)
        self.dispatches = Dispatches(world, self.rooms)
        world.watchers += [self.egresses, self.ingresses, self.dispatches]
        self._due: dict[str, Callable[[str], None]] = {
            "room": self.rooms.due,
            "join": self.participants.due,
            "egress": self.egresses.due,
            "order": self.egresses.order_due,
            "ingress": self.ingresses.due,
        }

    def at(self, now_ms: int) -> None:
        """It is ``now_ms`` (UTC milliseconds): what was due until now happens. Time that goes back is ignored.

        :raises UsageError: the machine has never been told the time and this is none.
        """
        if now_ms <= 0:
            raise UsageError(f"now_ms is UTC milliseconds since 1970, not {now_ms}.")
        world = self._world
        while (due := world.timers.pop_due(now_ms)) is not None:
            (kind, key), due_ms = due
            world.now_ms = max(world.now_ms, due_ms)
            self._due[kind](key)
        world.now_ms = max(world.now_ms, now_ms)

    @property
    def next_due_ms(self) -> int | None:
        """When something happens by itself next; None: never."""
        return self._world.timers.next_due_ms

    def new_id(self, prefix: str) -> str:
        """An id in LiveKit's form."""
        return self._world.new_id(prefix)

    def take_effects(self) -> tuple[Effect, ...]:
        """What followed since it was asked last, in order."""
        effects = tuple(self._world.effects)
        self._world.effects.clear()
        return effects
