"""The life of a delivery: one table, and nothing that is not in it can happen.

The diagram in the documentation is drawn from ``TRANSITIONS`` by ``diagram()``.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from roombell.engine.model import DeliveryState
from roombell.errors import UsageError


class Verb(StrEnum):
    """What can happen to a delivery."""

    DELIVER = "deliver"
    RETRY = "retry"
    ABANDON = "abandon"
    CANCEL = "cancel"
    REDRIVE = "redrive"
    REPLAY = "replay"


TRANSITIONS: Final = MappingProxyType(
    {
        (DeliveryState.PENDING, Verb.DELIVER): DeliveryState.DELIVERED,
        (DeliveryState.PENDING, Verb.RETRY): DeliveryState.PENDING,
        (DeliveryState.PENDING, Verb.ABANDON): DeliveryState.DEAD,
        (DeliveryState.PENDING, Verb.CANCEL): DeliveryState.CANCELLED,
        (DeliveryState.DEAD, Verb.REDRIVE): DeliveryState.PENDING,
        (DeliveryState.CANCELLED, Verb.REDRIVE): DeliveryState.PENDING,
        (DeliveryState.DELIVERED, Verb.REPLAY): DeliveryState.PENDING,
    }
)


class IllegalTransition(UsageError):
    """``verb`` cannot happen to a delivery in ``state``."""

    code = "illegal_transition"

    def __init__(self, state: DeliveryState, verb: Verb) -> None:
        self.state, self.verb = state, verb
        super().__init__(f"A {state} delivery cannot be the object of {verb!s}.")


def advance(state: DeliveryState, verb: Verb) -> DeliveryState:
    """The state after ``verb``.

    :raises IllegalTransition: for every pair that the table does not hold.
    """
    try:
        return TRANSITIONS[state, verb]
    except KeyError:
        raise IllegalTransition(state, verb) from None


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {DeliveryState.PENDING}: accept"]
    lines += [f"    {before} --> {after}: {verb}" for (before, verb), after in TRANSITIONS.items()]
    return "\n".join(lines)
