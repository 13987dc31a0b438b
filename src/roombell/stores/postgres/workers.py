"""The workers that live, as the database knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roombell.engine.model import EndpointId, EndpointNow, EndpointState, Muster, Part
from roombell.stores.postgres.queries import query

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

_WORKER_BEAT = query("worker_beat")
_WORKER_JOIN = query("worker_join")
_WORKERS = query("workers")
_WORKER_LEAVE = query("worker_leave")
_ENDPOINTS_NOW = query("endpoints_now")
_LOCK = "SELECT pg_advisory_xact_lock(5940410)"


async def beat(
    connection: Connection, owner: str, *, delivers: bool, now_ms: int, expires_at_ms: int
) -> tuple[Muster, bool]:
    """As ``Fleet.beat`` promises; and whether the worker has joined with it.

    Workers beat one after another: those that joined at the same time would else not see each other.
    """
    await connection.execute(_LOCK)
    is_new: bool = await connection.fetchval(_WORKER_BEAT, owner, now_ms, expires_at_ms)
    if is_new:
        await connection.execute(_WORKER_JOIN, owner, delivers, now_ms, expires_at_ms)
    there = await connection.fetch(_WORKERS, now_ms)
    at_work = [row[0] for row in there if row[1]]
    muster = Muster(
        part=Part(at_work.index(owner), len(at_work)) if delivers else None,
        joined_at_ms=next(row[2] for row in there if row[0] == owner),
        endpoints=tuple(
            EndpointNow(EndpointId(row[0]), EndpointState(row[1]), row[2])
            for row in await connection.fetch(_ENDPOINTS_NOW)
        ),
    )
    return muster, is_new


async def leave(connection: Connection, owner: str) -> bool:
    """As ``Fleet.leave`` promises; whether it was there."""
    return await connection.fetchval(_WORKER_LEAVE, owner) is not None
