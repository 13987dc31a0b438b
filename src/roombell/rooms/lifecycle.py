"""The life cycles of what a room server knows: one table for each, and what is not in it raises.

The states are LiveKit's own enums, so that what a webhook tells is what the table says. The diagrams in the reference
and the exhaustive tests come from these tables.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from enum import StrEnum
from typing import Final, Generic, TypeVar

from livekit.protocol.egress import EgressStatus
from livekit.protocol.ingress import IngressState
from livekit.protocol.models import ParticipantInfo

from roombell.errors import ServiceError

S = TypeVar("S", bound=Hashable)
M = TypeVar("M", bound=StrEnum)


class IllegalMove(ServiceError):
    """A move that the life cycle does not have: the machine's own fault, never a client's."""

    code = "illegal_move"


class LifeCycle(Generic[S, M]):
    """States, moves, and where each move leads from where.

    :param name: what lives it, for the error.
    """

    __slots__ = ("name", "table")

    def __init__(self, name: str, table: Mapping[tuple[S, M], S]) -> None:
        self.name = name
        self.table = dict(table)

    def allows(self, state: S, move: M) -> bool:
        """Whether the move exists from here."""
        return (state, move) in self.table

    def after(self, state: S, move: M) -> S:
        """The state that the move leads to.

        :raises IllegalMove: there is none.
        """
        if (state, move) not in self.table:
            raise IllegalMove(f"A {self.name} in state {state} cannot {move.value}.")
        return self.table[state, move]

    def diagram(self, name_of: Callable[[S], str]) -> str:
        """The table as a Mermaid state diagram, for the reference."""
        lines = [f"    {name_of(before)} --> {name_of(after)}: {move}" for (before, move), after in self.table.items()]
        return "\n".join(("stateDiagram-v2", *lines))


class ParticipantMove(StrEnum):
    """What happens to a participant."""

    WELCOME = "welcome"
    """It was told that it joined."""
    CONNECT = "connect"
    """Its media connection is up."""
    CLOSE = "close"


class TrackMove(StrEnum):
    """What happens to a track."""

    MEDIA = "media"
    """Its first packet came."""
    REMOVE = "remove"


class TrackState(StrEnum):
    """Where a track is. LiveKit has no enum for it."""

    ADDED = "added"
    """Announced by its participant, without media so far: nobody is told of it."""
    PUBLISHED = "published"
    GONE = "gone"


class EgressMove(StrEnum):
    """What happens to a recording."""

    RUN = "run"
    STOP = "stop"
    FINISH = "finish"
    FAIL = "fail"
    ABORT = "abort"
    LIMIT = "limit"


class IngressMove(StrEnum):
    """What happens to an ingress."""

    CONNECT = "connect"
    PUBLISH = "publish"
    END = "end"
    """Its source is gone; it can be used again."""
    COMPLETE = "complete"
    """Its source is gone; it was good for once."""
    FAIL = "fail"


_P: Final = ParticipantInfo
PARTICIPANT: Final = LifeCycle(
    "participant",
    {
        (_P.JOINING, ParticipantMove.WELCOME): _P.JOINED,
        (_P.JOINED, ParticipantMove.CONNECT): _P.ACTIVE,
        (_P.JOINING, ParticipantMove.CLOSE): _P.DISCONNECTED,
        (_P.JOINED, ParticipantMove.CLOSE): _P.DISCONNECTED,
        (_P.ACTIVE, ParticipantMove.CLOSE): _P.DISCONNECTED,
    },
)

TRACK: Final = LifeCycle(
    "track",
    {
        (TrackState.ADDED, TrackMove.MEDIA): TrackState.PUBLISHED,
        (TrackState.ADDED, TrackMove.REMOVE): TrackState.GONE,
        (TrackState.PUBLISHED, TrackMove.REMOVE): TrackState.GONE,
    },
)

_E: Final = EgressStatus
EGRESS: Final = LifeCycle(
    "recording",
    {
        (_E.EGRESS_STARTING, EgressMove.RUN): _E.EGRESS_ACTIVE,
        (_E.EGRESS_STARTING, EgressMove.STOP): _E.EGRESS_ABORTED,
        (_E.EGRESS_STARTING, EgressMove.FAIL): _E.EGRESS_FAILED,
        (_E.EGRESS_STARTING, EgressMove.ABORT): _E.EGRESS_ABORTED,
        (_E.EGRESS_ACTIVE, EgressMove.STOP): _E.EGRESS_ENDING,
        (_E.EGRESS_ACTIVE, EgressMove.FAIL): _E.EGRESS_FAILED,
        (_E.EGRESS_ACTIVE, EgressMove.ABORT): _E.EGRESS_ABORTED,
        (_E.EGRESS_ACTIVE, EgressMove.LIMIT): _E.EGRESS_LIMIT_REACHED,
        (_E.EGRESS_ENDING, EgressMove.FINISH): _E.EGRESS_COMPLETE,
        (_E.EGRESS_ENDING, EgressMove.FAIL): _E.EGRESS_FAILED,
        (_E.EGRESS_ENDING, EgressMove.ABORT): _E.EGRESS_ABORTED,
    },
)

_I: Final = IngressState
INGRESS: Final = LifeCycle(
    "ingress",
    {
        (_I.ENDPOINT_INACTIVE, IngressMove.CONNECT): _I.ENDPOINT_BUFFERING,
        (_I.ENDPOINT_ERROR, IngressMove.CONNECT): _I.ENDPOINT_BUFFERING,
        (_I.ENDPOINT_BUFFERING, IngressMove.PUBLISH): _I.ENDPOINT_PUBLISHING,
        (_I.ENDPOINT_BUFFERING, IngressMove.END): _I.ENDPOINT_INACTIVE,
        (_I.ENDPOINT_BUFFERING, IngressMove.COMPLETE): _I.ENDPOINT_COMPLETE,
        (_I.ENDPOINT_BUFFERING, IngressMove.FAIL): _I.ENDPOINT_ERROR,
        (_I.ENDPOINT_PUBLISHING, IngressMove.END): _I.ENDPOINT_INACTIVE,
        (_I.ENDPOINT_PUBLISHING, IngressMove.COMPLETE): _I.ENDPOINT_COMPLETE,
        (_I.ENDPOINT_PUBLISHING, IngressMove.FAIL): _I.ENDPOINT_ERROR,
    },
)

EGRESS_OVER: Final = (_E.EGRESS_COMPLETE, _E.EGRESS_FAILED, _E.EGRESS_ABORTED, _E.EGRESS_LIMIT_REACHED)
