"""What follows from an attempt: one pure function.

``answers`` says what an outcome means. On top of it stand the bounds of the endpoint's policy: when the ``attempts``
are used up the delivery is dead (``attempts exhausted``), and so it is when the retry would be due past ``max_age_ms``
(``expired``). An endpoint that did not take an event may say more in the header ``webhook-delivery`` of its answer:
``disable`` disables it as 410 does, ``abort-message`` gives up this one delivery.
"""

from __future__ import annotations

from typing import Final

import msgspec

from roombell.engine.answers import Follows, rule_of
from roombell.engine.model import Answered, Delivery, Failed, Outcome
from roombell.engine.retry import RetryPolicy, backoff_ms, retry_after_ms

ATTEMPTS_EXHAUSTED: Final = "attempts exhausted"
EXPIRED: Final = "expired"
GONE: Final = "the endpoint answered 410 Gone"

ABORTED: Final = "aborted by the endpoint"
ASKED: Final = "the endpoint asked for it (webhook-delivery: disable)"


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """The endpoint has it."""


class Retry(msgspec.Struct, frozen=True, gc=False):
    """Try again at ``due_at_ms``, and nothing newer of the lane before."""

    due_at_ms: int


class Dead(msgspec.Struct, frozen=True, gc=False):
    """Give it up, for ``reason``."""

    reason: str


class Disable(msgspec.Struct, frozen=True, gc=False):
    """Send the endpoint nothing more until a person says so; keep what it is owed."""

    reason: str


Decision = Delivered | Retry | Dead | Disable


def decide(
    delivery: Delivery, outcome: Outcome, policy: RetryPolicy, *, now_ms: int, draw: float, counted: bool = True
) -> Decision:
    """What follows from ``outcome`` of the attempt numbered ``delivery.attempts + 1``.

    :param draw: a number drawn evenly from [0, 1); it decides the jitter.
    :param counted: whether the attempt counts towards giving up; a probe of an endpoint that is down does not.
    """
    follows = rule_of(outcome).follows
    if follows is Follows.DELIVERED:
        return Delivered()
    if follows is Follows.DISABLE:
        return Disable(GONE)
    asked = _asked(outcome)
    if asked is not None:
        return asked
    strikes = delivery.strikes + counted
    if counted and strikes >= policy.attempts:
        return Dead(ATTEMPTS_EXHAUSTED)
    due_at_ms = now_ms + _delay_ms(outcome, policy, max(strikes, 1), now_ms, draw)
    if due_at_ms - delivery.owed_since_ms >= policy.max_age_ms:
        return Dead(EXPIRED)
    return Retry(due_at_ms)


def is_expired(delivery: Delivery, policy: RetryPolicy, *, now_ms: int) -> bool:
    """Whether the delivery is too old for another attempt."""
    return now_ms - delivery.owed_since_ms >= policy.max_age_ms


def _asked(outcome: Outcome) -> Decision | None:
    match outcome.control if isinstance(outcome, Answered) else None:
        case "disable":
            return Disable(ASKED)
        case "abort-message":
            return Dead(ABORTED)
        case _:
            return None


def _delay_ms(outcome: Outcome, policy: RetryPolicy, attempts: int, now_ms: int, draw: float) -> int:
    drawn_ms = backoff_ms(policy, attempts, draw)
    if isinstance(outcome, Failed) or rule_of(outcome).follows is not Follows.RETRY_AS_ASKED:
        return drawn_ms
    asked_ms = retry_after_ms(outcome.retry_after, outcome.date, now_ms)
    if asked_ms is None:
        return drawn_ms
    # Jitter comes on top: many lanes told the same moment must not all return in it.
    return min(asked_ms + min(drawn_ms, policy.base_delay_ms), policy.max_delay_ms)
