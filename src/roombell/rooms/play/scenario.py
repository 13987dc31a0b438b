"""A scenario: what happens in rooms, step by step, and how the server misbehaves in telling of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from roombell.config.document import Value


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    DELETE = "delete"
    JOIN = "join"
    ARRIVE = "arrive"
    CONNECT = "connect"
    LEAVE = "leave"
    DROP = "drop"
    REMOVE = "remove"
    MOVE = "move"
    PUBLISH = "publish"
    UNPUBLISH = "unpublish"
    MUTE = "mute"
    UNMUTE = "unmute"
    RECORD = "record"
    PUSH = "push"
    STOP = "stop"
    FINISH = "finish"
    FAIL = "fail"
    ABORT = "abort"
    LIMIT = "limit"
    CRASH = "crash"


class Option(StrEnum):
    """What a step may say beside its action."""

    ROOM = "room"
    BY = "by"
    NAME = "name"
    METADATA = "metadata"
    KIND = "kind"
    REASON = "reason"
    TO = "to"
    OF = "of"
    TRACK = "track"
    URL = "url"
    FILE = "file"
    WEBHOOK = "webhook"
    SIGNING_KEY = "signing_key"
    ERROR = "error"
    EMPTY_TIMEOUT = "empty_timeout"
    DEPARTURE_TIMEOUT = "departure_timeout"
    MAX_PARTICIPANTS = "max_participants"


_O: Final = Option
OPTIONS: Final[dict[Action, tuple[Option, ...]]] = {
    Action.CREATE: (_O.METADATA, _O.EMPTY_TIMEOUT, _O.DEPARTURE_TIMEOUT, _O.MAX_PARTICIPANTS),
    Action.DELETE: (),
    Action.JOIN: (_O.ROOM, _O.NAME, _O.METADATA, _O.KIND),
    Action.ARRIVE: (_O.ROOM, _O.NAME, _O.METADATA, _O.KIND),
    Action.CONNECT: (_O.ROOM,),
    Action.LEAVE: (_O.ROOM, _O.REASON),
    Action.DROP: (_O.ROOM,),
    Action.REMOVE: (_O.ROOM,),
    Action.MOVE: (_O.ROOM, _O.TO),
    Action.PUBLISH: (_O.ROOM, _O.BY, _O.NAME),
    Action.UNPUBLISH: (_O.ROOM, _O.BY),
    Action.MUTE: (_O.ROOM, _O.BY),
    Action.UNMUTE: (_O.ROOM, _O.BY),
    Action.RECORD: (_O.ROOM, _O.OF, _O.BY, _O.TRACK, _O.URL, _O.FILE, _O.WEBHOOK, _O.SIGNING_KEY),
    Action.PUSH: (_O.ROOM, _O.BY),
    Action.STOP: (),
    Action.FINISH: (),
    Action.FAIL: (_O.ERROR,),
    Action.ABORT: (),
    Action.LIMIT: (),
    Action.CRASH: (),
}
"""What each action takes."""

REQUIRED: Final[dict[Action, tuple[Option, ...]]] = {
    Action.MOVE: (_O.TO,),
    Action.PUBLISH: (_O.BY,),
    Action.UNPUBLISH: (_O.BY,),
    Action.MUTE: (_O.BY,),
    Action.UNMUTE: (_O.BY,),
    Action.PUSH: (_O.BY,),
}
"""What it cannot do without."""


class Step(msgspec.Struct, frozen=True):
    """One step. ``place`` says where it stands, for errors."""

    at_ms: int
    """From the scenario's beginning."""
    action: Action
    subject: str
    """Whom or what it is about: an identity, a room, a source, a recording."""
    options: dict[Option, Value]
    place: Value

    def text(self, option: Option, default: str = "") -> str:
        """An option as it is written."""
        return self.options[option].text() if option in self.options else default


class Trick(StrEnum):
    """What the server does wrong with an event."""

    LOSE = "lose"
    HOLD = "hold"
    """It tells it late."""
    REPEAT = "repeat"
    """It tells it again, under another id."""
    TURN = "turn"
    """It tells another event instead."""


class Misbehaviour(msgspec.Struct, frozen=True):
    """A trick with events of a type, those of one participant or all, in each run of the scenario."""

    trick: Trick
    event_type: str
    of: str = ""
    times: int = 1
    delay_ms: int = 0
    into: str = ""


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in the order in which they are taken. Played ``repeat`` times, ``spacing_ms`` apart, each in its rooms."""

    title: str
    room: str
    steps: tuple[Step, ...]
    misbehaviours: tuple[Misbehaviour, ...] = ()
    repeat: int = 1
    spacing_ms: int = 0
    settle_ms: int = 600_000
    """How long after the last step what follows by itself is still told."""

    @property
    def lasts_ms(self) -> int:
        """From the first step of the first run to the last step of the last."""
        return self.steps[-1].at_ms + (self.repeat - 1) * self.spacing_ms
