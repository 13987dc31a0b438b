"""Tidying up in small steps: leases that ran out, deliveries too old to be sent, events too old to be kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from roombell.engine.model import DeliveryState, EndpointId, EndpointState, Pruned, Reaped
from roombell.stores.sqlite.queries import query

DEFAULT_AGE = EndpointId(0)
"""The key in ``max_age_ms`` under which the age for removed endpoints stands."""

Place = tuple[int, int]
"""How far pruning has come: (accepted at, event row)."""

START: Place = (-1, 0)

_LEASES_END_EXPIRED = query("leases_end_expired")
_LANES_TOO_OLD = query("lanes_too_old")
_DELIVERIES_FROM_HEAD = query("deliveries_from_head")
_DELIVERY_SETTLE = query("delivery_settle")
_LANE_SHORTEN = query("lane_shorten")
_ENDPOINT_COUNT = query("endpoint_count")
_EVENTS_OLD = query("events_old")
_DELIVERIES_OF_EVENT = query("deliveries_of_event")
_ATTEMPTS_FORGET = query("attempts_forget")
_DELIVERIES_FORGET = query("deliveries_forget")
_EVENT_FORGET = query("event_forget")
_LANE_KEEP_LESS = query("lane_keep_less")
_LANE_FORGET = query("lane_forget")


def reap(
    connection: sqlite3.Connection,
    states: Mapping[EndpointId, EndpointState],
    now_ms: int,
    max_age_ms: Mapping[EndpointId, int],
    limit: int,
) -> Reaped:
    """One step, as ``Store.reap`` promises. Deliveries are ended from the head of each lane on."""
    leases = connection.execute(_LEASES_END_EXPIRED, (now_ms, limit)).rowcount
    ended = 0
    for endpoint_id, endpoint_state in states.items():
        if endpoint_id in max_age_ms:
            before_ms, state, reason = now_ms - max_age_ms[endpoint_id], DeliveryState.DEAD, "expired"
        elif endpoint_state is EndpointState.REMOVED and DEFAULT_AGE in max_age_ms:
            before_ms, state, reason = (
                now_ms - max_age_ms[DEFAULT_AGE],
                DeliveryState.CANCELLED,
                "endpoint removed",
            )
        else:
            continue
        ended += _end_old(connection, endpoint_id, (state, reason, now_ms), before_ms, limit - ended)
    return Reaped(leases_ended=leases, deliveries_ended=ended, more=limit in (leases, ended))


def _end_old(
    connection: sqlite3.Connection,
    endpoint_id: EndpointId,
    settled: tuple[DeliveryState, str, int],
    before_ms: int,
    limit: int,
) -> int:
    state, reason, settled_at_ms = settled
    ended = 0
    for lane_id, head in connection.execute(_LANES_TOO_OLD, (endpoint_id, before_ms, limit)).fetchall():
        old = _old_sequences(connection, lane_id, head, before_ms, limit - ended)
        if old:
            rows = [(state.value, 0, 0, reason, settled_at_ms, lane_id, sequence, 0) for sequence in old]
            connection.executemany(_DELIVERY_SETTLE, rows)
            shorter = {"id": lane_id, "ended": len(old), "next_sequence": old[-1] + 1}
            connection.execute(_LANE_SHORTEN, shorter)
            ended += len(old)
    dead = ended if state is DeliveryState.DEAD else 0
    connection.execute(_ENDPOINT_COUNT, (-ended, dead, endpoint_id))
    return ended


def _old_sequences(connection: sqlite3.Connection, lane_id: int, head: int, before_ms: int, limit: int) -> list[int]:
    old: list[int] = []
    for sequence, owed_since_ms in connection.execute(_DELIVERIES_FROM_HEAD, (lane_id, head, limit)).fetchall():
        if owed_since_ms >= before_ms:
            break
        old.append(sequence)
    return old


def prune(connection: sqlite3.Connection, place: Place, before_ms: int, limit: int) -> tuple[Pruned, Place]:
    """One step, as ``Store.prune`` promises, and where the next one begins.

    A step looks at ``limit`` events at most, so that old events that still owe something do not make it long; the
    step after the last begins anew.
    """
    rows = connection.execute(_EVENTS_OLD, (*place, before_ms, limit)).fetchall()
    events = [event for _, event, owes in rows if not owes]
    lanes = _forget(connection, events)
    more = len(rows) == limit
    return Pruned(events=len(events), lanes=lanes, more=more), rows[-1][:2] if more else START


def _forget(connection: sqlite3.Connection, events: list[int]) -> int:
    """Forgets events with all that hangs on them, and tells how many lanes went with them."""
    deliveries = [row for event in events for row in connection.execute(_DELIVERIES_OF_EVENT, (event,))]
    dead = [endpoint_id for _, endpoint_id, is_dead in deliveries if is_dead]
    connection.executemany(_ENDPOINT_COUNT, [(0, -1, endpoint_id) for endpoint_id in dead])
    connection.executemany(_LANE_KEEP_LESS, [(lane_id,) for lane_id, _, _ in deliveries])
    for statement in (_ATTEMPTS_FORGET, _DELIVERIES_FORGET, _EVENT_FORGET):
        connection.executemany(statement, [(event,) for event in events])
    lanes = sorted({lane_id for lane_id, _, _ in deliveries})
    return connection.executemany(_LANE_FORGET, [(lane_id,) for lane_id in lanes]).rowcount if lanes else 0
