"""Looking at a database without changing it: for ``roombell doctor``."""

from __future__ import annotations

from typing import Final

import msgspec

from roombell.engine.model import EndpointStatus
from roombell.stores.postgres import endpoints, schema
from roombell.stores.postgres.connections import Connections
from roombell.stores.postgres.queries import query
from roombell.stores.postgres.url import PostgresUrl

_WORKERS: Final = query("workers")
_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_SETTING: Final = "SELECT current_setting($1)"


class PostgresReport(msgspec.Struct, frozen=True):
    """A database as it lies."""

    where: str
    server: str
    """PostgreSQL's version."""
    version: int
    """0 where it is no store yet."""
    version_newest: int
    fsync: bool
    synchronous_commit: str
    takes_writes: bool
    """False for a standby."""
    workers: int
    now_ms: int
    """The database's time."""
    endpoints: tuple[EndpointStatus, ...]


async def inspect(url: PostgresUrl) -> PostgresReport:
    """:raises StoreError: it cannot be used; the message says what to mend."""
    connections = Connections(url)
    await connections.open()
    try:
        async with connections.transaction() as connection:
            await schema.check_server(connection, connections.where)
            found = await schema.read_version(connection)
            newest = len(schema.migrations())
            if found is not None:
                schema.check_version(found, connections.where, newest)
            now_ms: int = await connection.fetchval(_NOW)
            return PostgresReport(
                where=connections.where,
                server=await connection.fetchval(_SETTING, "server_version"),
                version=0 if found is None else found.version,
                version_newest=newest,
                fsync=await connection.fetchval(_SETTING, "fsync") == "on",
                synchronous_commit=await connection.fetchval(_SETTING, "synchronous_commit"),
                takes_writes=await connection.fetchval(_SETTING, "transaction_read_only") == "off",
                workers=0 if found is None else len(await connection.fetch(_WORKERS, now_ms)),
                now_ms=now_ms,
                endpoints=() if found is None else tuple(await endpoints.statuses(connection)),
            )
    finally:
        await connections.close()
