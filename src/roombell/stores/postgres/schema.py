"""Opening the database: is it ours, how old is it, and what must be done to it.

Migrations run while workers of the version before go on. So each of them only adds: a table, an index, a column with
a default. ``compatible_from`` in the database says how old a worker may be that works on it; a migration that takes
something away raises it, one version after nothing uses that any more.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import msgspec

from roombell.errors import StoreError, StoreTooNew
from roombell.stores.postgres.queries import query

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

SERVER_VERSION_MIN: Final = 140_000
MIGRATIONS: Final = Path(__file__).parent / "migrations"
MOVING: Final = 1_000_000
"""``compatible_from`` while another store is moved here: no version works on it before it is whole."""
_ADVISORY_LOCK: Final = 0x526F6F6D62656C6C
"""``Roombell`` in ASCII: one process migrates at a time."""
_STORE_ROW: Final = query("store_row")


class StoreRow(msgspec.Struct, frozen=True):
    """What the database says of itself."""

    version: int
    compatible_from: int
    store_id: str


def migrations(folder: Path = MIGRATIONS) -> tuple[Path, ...]:
    """The migrations this version knows, oldest first; the n-th makes version n."""
    return tuple(sorted(folder.glob("*.sql")))


async def check_server(connection: Connection, where: str) -> None:
    """:raises StoreError: the server is too old, or keeps its promises less than ours need."""
    version: int = await connection.fetchval("SELECT current_setting('server_version_num')::integer")
    if version < SERVER_VERSION_MIN:
        raise StoreError(f"{where} is PostgreSQL {version // 10_000}. Roombell needs 14 or newer.")
    encoding: str = await connection.fetchval("SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise StoreError(f"{where} has the encoding {encoding}. Make the database with ENCODING 'UTF8'.")


async def lock(connection: Connection) -> None:
    """Until the transaction ends nobody else makes a store here, or moves one up."""
    await connection.execute(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


async def move_up(connection: Connection, where: str, folder: Path = MIGRATIONS) -> StoreRow:
    """Brings the database to the newest version that this code knows, within the transaction of ``connection``.

    :raises StoreTooNew: a newer version made it, and this one cannot work on it any more.
    """
    await lock(connection)
    found = await _read(connection)
    if found is not None and found.compatible_from == MOVING:
        raise _half_moved(where)
    known = migrations(folder)
    if found is not None and found.version >= len(known):
        return check_version(found, where, len(known))
    for file in known[0 if found is None else found.version :]:
        if found is None:
            await _make_schema(connection)
        await connection.execute(file.read_text(encoding="utf-8"))
        if found is None:
            await connection.execute(
                "INSERT INTO roombell.store (version, compatible_from, store_id) VALUES (0, 1, $1)",
                secrets.token_hex(4),
            )
            found = StoreRow(0, 1, "")
    await connection.execute("UPDATE roombell.store SET version = $1", len(known))
    moved = await _read(connection)
    assert moved is not None
    return moved


async def read_version(connection: Connection) -> StoreRow | None:
    """What the database says of itself; None where it is no store yet."""
    return await _read(connection)


def check_version(found: StoreRow, where: str, known: int) -> StoreRow:
    """:raises StoreTooNew: this version cannot work on it.
    :raises StoreError: nobody can, before it is whole.
    """
    if found.compatible_from == MOVING:
        raise _half_moved(where)
    if found.compatible_from > known:
        raise StoreTooNew(
            f"{where} was moved up by a newer Roombell (it is of version {found.version} and takes workers from "
            f"version {found.compatible_from} on; this one knows {known}). Use that newer Roombell."
        )
    return found


def _half_moved(where: str) -> StoreError:
    return StoreError(
        f"{where} holds a part of the store that roombell migrate moves there. Run that command again until it says "
        "that it is done."
    )


async def _make_schema(connection: Connection) -> None:
    """Unless somebody made it for this user: IF NOT EXISTS asks for the right to make it even then."""
    if await connection.fetchval("SELECT to_regnamespace('roombell') IS NULL"):
        await connection.execute("CREATE SCHEMA roombell")


async def _read(connection: Connection) -> StoreRow | None:
    if await connection.fetchval("SELECT to_regclass('roombell.store') IS NULL"):
        return None
    return StoreRow(*await _only(connection))


async def _only(connection: Connection) -> asyncpg.Record:
    row = await connection.fetchrow(_STORE_ROW)
    assert row is not None, "a store is named in the transaction that makes it"
    return row
