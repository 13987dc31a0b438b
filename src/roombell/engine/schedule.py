"""When to look after an endpoint. Pure: what a turn holds and the time go in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from roombell.engine.turns import EndpointTurn

_TOKEN_MARGIN_S: Final = 0.001


def allow_probe(turn: EndpointTurn, now_ms: int) -> None:
    """Lets one probe out if the breaker is open, its time has come and none is under way."""
    if turn.may_probe and turn.health.is_open and not turn.in_flight and turn.health.probe_at_ms <= now_ms:
        turn.probing = True


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
