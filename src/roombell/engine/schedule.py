"""When to look after an endpoint. Pure: what a turn holds and the time go in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from roombell.engine.turns import EndpointTurn

_TOKEN_MARGIN_S: Final = 0.001
LOOK_MS_MAX: Final = 250
"""How much later than due a retry may be fetched, so that those of many lanes are fetched together."""
_LOOKS_PER_BASE_DELAY: Final = 20
_STRIDE: Final = 37
"""Spreads endpoints with ids next to each other over these moments."""


def allow_probe(turn: EndpointTurn, now_ms: int) -> None:
    """Lets one probe out if the breaker is open, its time has come and none is under way."""
    if turn.may_probe and turn.health.is_open and not turn.in_flight and turn.health.probe_at_ms <= now_ms:
        turn.probing = True


def look_at_ms(turn: EndpointTurn, due_at_ms: int, now_ms: int) -> int:
    """When to ask for a lane that is due at ``due_at_ms``: at once if that has come, else with others that are due
    about then. A twentieth of the endpoint's ``base_delay`` later at most, which the draw of a delay hides, and
    ``LOOK_MS_MAX``. Each endpoint has moments of its own, and with several workers each worker, so that neither all
    endpoints are asked for at once nor one worker is always the first.
    """
    if due_at_ms <= now_ms:
        return due_at_ms
    apart_ms = max(1, min(LOOK_MS_MAX, turn.policy.retry.base_delay_ms // _LOOKS_PER_BASE_DELAY))
    shift_ms = 0 if turn.part is None else apart_ms * turn.part.rank // turn.part.workers
    return due_at_ms + (turn.endpoint_id * _STRIDE + shift_ms - due_at_ms) % apart_ms


def worth_asking(turn: EndpointTurn, now_ms: int, lanes_max: int) -> bool:
    """Whether something may be due for the endpoint, and there is room enough for a transaction to pay."""
    wanted = 1 if turn.health.is_open else min(turn.lanes_max, lanes_max) // 4
    if turn.room < wanted:
        return False
    return turn.poll_at_ms <= now_ms or (turn.next_due_at_ms is not None and turn.next_due_at_ms <= now_ms)


def next_look_s(turns: Iterable[EndpointTurn], now_ms: int) -> float:
    """In how many seconds the first of them wants to be looked after; infinity if none does.

    What is due already and was not asked for had too little room; the lane that makes room wakes the loop.
    """
    return min((wait_s for turn in turns for wait_s in _waits_s(turn, now_ms)), default=math.inf)


def _waits_s(turn: EndpointTurn, now_ms: int) -> Iterable[float]:
    if turn.next_due_at_ms is not None and turn.next_due_at_ms > now_ms:
        yield (turn.next_due_at_ms - now_ms) / 1000
    if turn.may_probe and turn.health.is_open and not turn.probing and not turn.in_flight:
        yield max(0, turn.health.probe_at_ms - now_ms) / 1000
    if turn.ready and turn.bucket.wait_s:
        yield turn.bucket.wait_s + _TOKEN_MARGIN_S
