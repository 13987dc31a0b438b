"""Endpoints as the database knows them."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING

from roombell.engine.model import EndpointId, EndpointState, EndpointStatus
from roombell.stores.postgres.queries import query
from roombell.stores.text import kept, shown

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

_ENDPOINTS = query("endpoints")
_ENDPOINT_STATES = query("endpoint_states")
_ENDPOINTS_ADD = query("endpoints_add")
_ENDPOINTS_REMOVE = query("endpoints_remove")
_ENDPOINT_CHANGE = query("endpoint_change")
_ENDPOINT_HEALTH = query("endpoint_health")
_LOCK = "SELECT pg_advisory_xact_lock(5940411)"


async def register(connection: Connection, names: Seq[str], now_ms: int) -> dict[str, EndpointStatus]:
    """As ``Store.register`` promises.

    Workers register one after another: two that list different endpoints would each hold what the other one removes.
    """
    listed = [kept(name) for name in dict.fromkeys(names)]
    await connection.execute(_LOCK)
    await connection.execute(_ENDPOINTS_ADD, listed, now_ms)
    await connection.execute(_ENDPOINTS_REMOVE, listed, now_ms)
    known = {status.name: status for status in await statuses(connection)}
    return {name: known[name] for name in names}


async def set_state(
    connection: Connection, endpoint_id: EndpointId, state: EndpointState, reason: str, now_ms: int
) -> None:
    """As ``Store.set_endpoint_state`` promises."""
    changed = await connection.fetchval(_ENDPOINT_CHANGE, endpoint_id, state.value, kept(reason), now_ms)
    assert changed == endpoint_id, "the endpoint is registered"


async def set_health(connection: Connection, endpoint_id: EndpointId, health: bytes) -> None:
    """As ``Store.set_endpoint_health`` promises."""
    changed = await connection.fetchval(_ENDPOINT_HEALTH, endpoint_id, health)
    assert changed == endpoint_id, "the endpoint is registered"


async def states(connection: Connection) -> dict[EndpointId, EndpointState]:
    """The state of every endpoint."""
    return {EndpointId(row[0]): EndpointState(row[1]) for row in await connection.fetch(_ENDPOINT_STATES)}


async def statuses(connection: Connection) -> list[EndpointStatus]:
    """Every endpoint, removed ones too."""
    return [
        EndpointStatus(
            endpoint_id=EndpointId(endpoint_id),
            name=shown(name),
            state=EndpointState(state),
            reason=shown(reason),
            changed_at_ms=changed_at_ms,
            pending=pending,
            dead=dead,
            oldest_pending_at_ms=oldest,
            health=health,
            blocked=blocked,
        )
        for endpoint_id, name, state, reason, changed_at_ms, health, pending, dead, blocked, oldest in (
            await connection.fetch(_ENDPOINTS)
        )
    ]
