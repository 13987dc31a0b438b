"""From an outcome and a decision to what is written down. Pure."""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from roombell.engine.decide import EXPIRED, Dead, Decision, Delivered, Disable, Retry
from roombell.engine.model import (
    Accept,
    Answered,
    AttemptRecord,
    Delivery,
    DeliveryState,
    Failed,
    Generation,
    OnDead,
    Outcome,
    Placed,
    Settle,
)
from roombell.engine.transitions import Verb, advance

DETAIL_CHARS_MAX: Final = 300
"""How much of an answer's body, or of a failure's text, an attempt's record keeps."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """A decision in the words of the store, the logs and the metrics."""

    label: str
    verb: Verb
    reason: str = ""
    due_at_ms: int = 0


_DELIVERED: Final = Verdict("delivered", Verb.DELIVER)


def verdict(decision: Decision, *, now_ms: int) -> Verdict:
    """What a decision does to the delivery."""
    match decision:
        case Delivered():
            return _DELIVERED
        case Retry(due_at_ms):
            return Verdict("retry", Verb.RETRY, due_at_ms=due_at_ms)
        case Dead(reason):
            return Verdict("dead", Verb.ABANDON, reason)
        case Disable(reason):
            # Kept as it is: due at once, for the day when the endpoint is enabled again.
            return Verdict("disable", Verb.RETRY, reason, now_ms)
    assert_never(decision)


def attempt_record(delivery: Delivery, outcome: Outcome, *, started_at_ms: int) -> AttemptRecord:
    """The attempt as it is kept."""
    if isinstance(outcome, Failed):
        outcome_label, status, detail = outcome.kind.value, 0, outcome.detail
    else:
        outcome_label, status, detail = "answered", outcome.status, _text(outcome)
    return AttemptRecord(
        number=delivery.attempts + 1,
        started_at_ms=started_at_ms,
        duration_ms=outcome.duration_ms,
        outcome=outcome_label,
        status=status,
        detail=detail[:DETAIL_CHARS_MAX],
    )


def settle(
    delivery: Delivery,
    generation: Generation,
    attempt: AttemptRecord | None,
    what: Verdict,
    *,
    on_dead: OnDead,
    now_ms: int,
    counted: bool = True,
) -> Settle:
    """The write that ends an attempt."""
    state = advance(DeliveryState.PENDING, what.verb)
    dead = state is DeliveryState.DEAD
    return Settle(
        lane_id=delivery.lane_id,
        generation=generation,
        sequence=delivery.sequence,
        state=state,
        attempt=attempt,
        settled_at_ms=now_ms,
        due_at_ms=what.due_at_ms,
        reason=what.reason if dead else "",
        block=dead and on_dead is OnDead.BLOCK,
        counted=counted,
    )


def expired(delivery: Delivery, generation: Generation, *, on_dead: OnDead, now_ms: int) -> Settle:
    """The write that gives up a delivery which is too old to be sent."""
    return settle(delivery, generation, None, Verdict("dead", Verb.ABANDON, EXPIRED), on_dead=on_dead, now_ms=now_ms)


def fresh_delivery(accept: Accept, placed: Placed) -> Delivery:
    """A delivery as it is in the moment of its acceptance."""
    return Delivery(
        lane_id=placed.lane_id,
        sequence=placed.sequence,
        event_id=accept.event_id,
        event_type=accept.event_type,
        accepted_at_ms=accept.accepted_at_ms,
        attempts=0,
        body=accept.body,
    )


def _text(answer: Answered) -> str:
    if not answer.excerpt or answer.status in range(200, 300):
        return ""
    text = answer.excerpt[: 4 * DETAIL_CHARS_MAX].decode("utf-8", "replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
