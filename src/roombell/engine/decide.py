"""What follows from an attempt: one pure function.

| outcome | decision |
| --- | --- |
| 2xx | delivered |
| 410 | the endpoint is disabled; the delivery is kept |
| 429, 503 with a usable Retry-After | retry then, clamped to [0, ``max_delay_ms``], with jitter on top |
| anything else: other statuses, redirects, every failure | retry by back-off |
| the same, when ``attempts`` are used up | dead: ``attempts exhausted`` |
| the same, when the retry would be due past ``max_age_ms`` | dead: ``expired`` |
"""

from __future__ import annotations

from typing import Final

import msgspec

from roombell.engine.model import Answered, Delivery, Failed, Outcome
from roombell.engine.retry import RetryPolicy, backoff_ms, retry_after_ms

ATTEMPTS_EXHAUSTED: Final = "attempts exhausted"
EXPIRED: Final = "expired"
GONE: Final = "the endpoint answered 410 Gone"

_OK: Final = range(200, 300)
_GONE: Final = 410
_OBEYED: Final = frozenset({429, 503})


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
    if isinstance(outcome, Answered):
        if outcome.status in _OK:
            return Delivered()
        if outcome.status == _GONE:
            return Disable(GONE)
    strikes = delivery.strikes + counted
    if counted and strikes >= policy.attempts:
        return Dead(ATTEMPTS_EXHAUSTED)
    due_at_ms = now_ms + _delay_ms(outcome, policy, max(strikes, 1), now_ms, draw)
    if due_at_ms - delivery.accepted_at_ms >= policy.max_age_ms:
        return Dead(EXPIRED)
    return Retry(due_at_ms)


def is_expired(delivery: Delivery, policy: RetryPolicy, *, now_ms: int) -> bool:
    """Whether the delivery is too old for another attempt."""
    return now_ms - delivery.accepted_at_ms >= policy.max_age_ms


def _delay_ms(outcome: Outcome, policy: RetryPolicy, attempts: int, now_ms: int, draw: float) -> int:
    drawn_ms = backoff_ms(policy, attempts, draw)
    if isinstance(outcome, Failed) or outcome.status not in _OBEYED:
        return drawn_ms
    asked_ms = retry_after_ms(outcome.retry_after, outcome.date, now_ms)
    if asked_ms is None:
        return drawn_ms
    # Jitter comes on top: many lanes told the same moment must not all return in it.
    return min(asked_ms + min(drawn_ms, policy.base_delay_ms), policy.max_delay_ms)
