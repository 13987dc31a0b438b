"""A database as the store that takes another's place.

Until it is whole, ``compatible_from`` says that no version may work on it, and the table ``moving`` how far it is.
Both stand in the database itself, so a move that is killed leaves nothing that a service could mistake for a store. The
table is kept afterwards: it tells whether the old store was worked on since.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING, Final

from roombell.errors import StoreError
from roombell.stores.moving import START, Contents, Place, Row, Table
from roombell.stores.postgres import schema
from roombell.stores.postgres.connections import Connections
from roombell.stores.postgres.queries import query
from roombell.stores.postgres.url import PostgresUrl
from roombell.stores.text import kept, shown

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

_BEGIN: Final = query("moving_begin")
_NAMED: Final = query("moving_named")
_ROW: Final = query("moving_row")
_AGAIN: Final = query("moving_again")
_PLACE: Final = query("moving_place")
_FINISH: Final = query("moving_finish")
_COUNTS_COLUMNS: Final = ("endpoint_id", "slot", "pending", "dead")


class PostgresTarget:
    """The ``Target`` of a move. It is open between ``open`` and ``close``."""

    def __init__(self, url: PostgresUrl) -> None:
        self._connections = Connections(url)

    async def open(self) -> None:
        """:raises StoreError: the database cannot be reached."""
        await self._connections.open()

    async def close(self) -> None:
        await self._connections.close()

    async def begin(self, contents: Contents) -> Place | None:
        where = self._connections.where
        async with self._connections.transaction() as connection:
            await schema.check_server(connection, where)
            await schema.lock(connection)  # first: what is read here must still be so when a store is made below
            found = await schema.read_version(connection)
            if found is None:
                await schema.move_up(connection, where)
                await connection.execute(_BEGIN)
                await connection.execute(
                    _NAMED, contents.store_id, schema.MOVING, contents.fingerprint, START.part, START.key
                )
                return START
            if found.compatible_from == schema.MOVING:
                return await _go_on(connection, found, contents, where)
            if found.store_id == contents.store_id:
                await _check_finished(connection, contents, where)
                return None
        raise StoreError(
            f"{where} holds a store already. Name an empty database; or, where nobody needs that store, drop its "
            "schema roombell."
        )

    async def add(self, table: Table, rows: Seq[Row], before: Place, after: Place) -> None:
        async with self._connections.transaction() as connection:
            place = (after.part, after.key, after.rows)
            moved = await connection.fetchval(_PLACE, *place, None, before.part, before.key)
            if moved is None:
                raise StoreError("Another roombell migrate moves the same store. Leave it to that one.")
            if table.name == "endpoint":
                await _copy(connection, table.name, table.columns[:-2], [row[:-2] for row in rows])
                await _copy(connection, "endpoint_count", _COUNTS_COLUMNS, [(row[0], 0, *row[-2:]) for row in rows])
            elif table.name == "document":
                await _copy(connection, table.name, table.columns[1:], [row[1:] for row in rows])
            else:
                await _copy(connection, table.name, table.columns, rows)

    async def rows(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        async with self._connections.transaction() as connection:
            found = await connection.fetch(query(f"moving_{table.name}"), *_behind(table, after), limit)
        return [tuple(shown(value) if isinstance(value, str) else value for value in row) for row in found]

    async def finish(self, contents: Contents) -> None:
        numbers = contents.numbers
        async with self._connections.transaction() as connection:
            await connection.execute(_FINISH, numbers.event, numbers.endpoint, numbers.lane)


async def _go_on(connection: Connection, found: schema.StoreRow, contents: Contents, where: str) -> Place:
    """Where an earlier move of the same store came, if it can be gone on with."""
    row = await connection.fetchrow(_ROW)
    assert row is not None, "what is closed to services is being moved to"
    store_id, fingerprint, part, key, rows = row
    if store_id != contents.store_id or found.version != len(schema.migrations()):
        raise StoreError(
            f"{where} holds a part of another store, or what another version of Roombell began to move. Name an empty "
            "database, or drop the schema roombell in this one."
        )
    place = Place(part, tuple(key), rows)
    if fingerprint == contents.fingerprint:
        return place
    await connection.execute(_AGAIN)
    await connection.execute(_PLACE, START.part, START.key, 0, contents.fingerprint, place.part, place.key)
    return START


async def _check_finished(connection: Connection, contents: Contents, where: str) -> None:
    """:raises StoreError: the old store has been worked on since."""
    row = await connection.fetchrow(_ROW)
    if row is None or row[1] != contents.fingerprint:
        raise StoreError(
            f"The store was moved to {where} before, and Roombell has worked on the file since. What it accepted since "
            "is in the file alone: let Roombell run on it, apart from the others, until it owes nothing."
        )


def _behind(table: Table, after: Row | None) -> tuple[int | str, ...]:
    """What the table's query is asked with. Documents have no column for their number, so the key says where one is."""
    key = table.first if after is None else table.key(after)
    if table.name != "document":
        return key
    name = "" if after is None else after[1]
    assert isinstance(name, str), "a document's key is text"
    return (*key, kept(name))


async def _copy(connection: Connection, table: str, columns: Seq[str], rows: Seq[Row]) -> None:
    records = [tuple(kept(value) if isinstance(value, str) else value for value in row) for row in rows]
    await connection.copy_records_to_table(table, schema_name="roombell", columns=columns, records=records)
