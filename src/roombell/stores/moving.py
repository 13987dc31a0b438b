"""From one store to another that takes its place: everything in it, under the numbers it has.

Ids, numbers and the store's own id are carried over as they are. So ``Webhook-Lane`` and ``Webhook-Sequence`` go on
where they were, and receivers notice nothing.

Rows are carried over in the order of their keys, so that "how far" is one key: it is written in the transaction that
writes the rows, and a move that was killed goes on there. At the end every row is read back and compared; only then may
a service open the new store.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Generator, Mapping
from collections.abc import Sequence as Seq
from typing import Final, Protocol

import msgspec

from roombell.errors import StoreError

CHUNK_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of bodies, in one transaction, which has seconds only, however slow the network is."""

Row = tuple[int | str | bytes | None, ...]
Key = tuple[int, ...]


class Table(msgspec.Struct, frozen=True):
    """One kind of row, as both stores read it."""

    name: str
    columns: tuple[str, ...]
    """The key's come first."""
    key_columns: int
    rows_max: int
    """How many are carried over in one transaction at most."""

    def key(self, row: Row) -> Key:
        """What tells the row from all others."""
        return tuple(value for value in row[: self.key_columns] if isinstance(value, int))

    @property
    def first(self) -> Key:
        """Before every key."""
        return (0,) * self.key_columns


TABLES: Final = (
    Table("endpoint", ("id", "name", "state", "reason", "changed_at_ms", "health", "pending", "dead"), 1, 1_000),
    Table("event", ("id", "event_id", "event_type", "ordering_key", "room_name", "accepted_at_ms", "body"), 1, 200),
    Table(
        "lane",
        (
            *("id", "endpoint_id", "ordering_key", "last_sequence", "kept", "head_sequence", "head_owed_since_ms"),
            *("pending", "due_at_ms", "generation", "blocked"),
        ),
        1,
        2_000,
    ),
    Table(
        "delivery",
        (
            *("event", "lane_id", "sequence", "owed_since_ms", "state", "attempts", "strikes", "reason"),
            "settled_at_ms",
        ),
        2,
        2_000,
    ),
    Table(
        "attempt",
        ("event", "lane_id", "number", "started_at_ms", "duration_ms", "outcome", "status", "detail"),
        3,
        2_000,
    ),
    Table("document", ("number", "key", "version", "value"), 1, 500),
)
"""Everything there is in a store. Leases are not carried over: nobody works while a store is moved.

A document's number is its place among the keys as PostgreSQL keeps them (``stores.text``), and no column of either.
"""


class Place(msgspec.Struct, frozen=True):
    """How far a move is."""

    part: int
    """Which of ``TABLES``."""
    key: Key
    """The last of its rows that was carried over."""
    rows: int
    """How many of its rows were."""


START: Final = Place(0, TABLES[0].first, 0)


class Numbers(msgspec.Struct, frozen=True):
    """The highest number that a store ever gave to a lane or endpoint, and the highest event it has."""

    endpoint: int
    event: int
    lane: int


class Contents(msgspec.Struct, frozen=True):
    """What is to be moved."""

    store_id: str
    fingerprint: str
    """Differs when anybody has worked on the store."""
    numbers: Numbers
    rows: Mapping[str, int]
    """By the table's name."""


class Source(Protocol):
    """The store that is left. Nobody else has it open."""

    @property
    def where(self) -> str:
        """Its name, for messages."""

    def contents(self) -> Contents:
        """What there is."""

    def rows(self, table: Table, after: Key, limit: int) -> Generator[Row, None, None]:
        """Up to ``limit`` rows with a key above ``after``, in the order of keys. Each is read when it is asked for."""


class Target(Protocol):
    """The store that takes its place. No service can open it from ``begin`` to ``finish``."""

    async def begin(self, contents: Contents) -> Place | None:
        """How far an earlier move of the same contents came; None where it was finished.

        A move of contents that have changed meanwhile begins anew.

        :raises StoreError: it holds something else; nothing was touched.
        """

    async def add(self, table: Table, rows: Seq[Row], before: Place, after: Place) -> None:
        """Adds rows and moves the place, in one transaction.

        :raises StoreError: it is at another place: somebody else moves the same store.
        """

    async def rows(self, table: Table, after: Row | None, limit: int) -> list[Row]:
        """Up to ``limit`` rows behind ``after``, a row that is here, in the order of keys; None: the first ones."""

    async def finish(self, contents: Contents) -> None:
        """Opens it to services."""


class Moved(msgspec.Struct, frozen=True, tag_field="record", tag="progress"):
    """One step was done."""

    step: str
    """``carry`` or ``compare``."""
    table: str
    rows: int
    total: int


class Move:
    """One move, step by step: ``begin``, then all of ``carry``, all of ``compare``, and ``finish``."""

    def __init__(self, source: Source, target: Target) -> None:
        self._source = source
        self._target = target
        self.contents = source.contents()

    async def begin(self) -> Place | None:
        """Where ``carry`` goes on; None if there is nothing left to do.

        :raises StoreError: the target holds something else.
        """
        return await self._target.begin(self.contents)

    async def carry(self, place: Place) -> AsyncIterator[Moved]:
        """Carries over what is missing."""
        while place.part < len(TABLES):
            table = TABLES[place.part]
            rows, more = self._chunk(table, place.key)
            after = _following(place, table, rows, more=more)
            await self._target.add(table, rows, place, after)
            if rows or not place.rows:
                yield Moved("carry", table.name, place.rows + len(rows), self.contents.rows[table.name])
            place = after

    async def compare(self) -> AsyncIterator[Moved]:
        """Reads everything back.

        :raises StoreError: a row differs, is missing, or is one too many.
        """
        for table in TABLES:
            last: Row | None = None
            count = 0
            while True:
                wanted, more = self._chunk(table, table.first if last is None else table.key(last))
                found = await self._target.rows(table, last, len(wanted) if more else table.rows_max)
                if wanted != found:
                    raise StoreError(_difference(table, wanted, found))
                if wanted or not count:
                    yield Moved("compare", table.name, count + len(wanted), self.contents.rows[table.name])
                count += len(wanted)
                if not more:
                    break
                last = wanted[-1]
            if count != self.contents.rows[table.name]:
                raise StoreError(f"{self._source.where} has changed while it was moved. Run the command again.")

    async def finish(self) -> None:
        """From now on services may open the target."""
        await self._target.finish(self.contents)

    def _chunk(self, table: Table, after: Key) -> tuple[list[Row], bool]:
        """The next rows, as many as one transaction carries; and whether there may be more."""
        chunk: list[Row] = []
        total_bytes = 0
        with contextlib.closing(self._source.rows(table, after, table.rows_max)) as rows:
            for row in rows:
                total_bytes += sum(len(value) for value in row if isinstance(value, bytes))
                if chunk and total_bytes > CHUNK_BYTES_MAX:
                    return chunk, True
                chunk.append(row)
        return chunk, len(chunk) == table.rows_max


def _following(place: Place, table: Table, rows: Seq[Row], *, more: bool) -> Place:
    if more:
        return Place(place.part, table.key(rows[-1]), place.rows + len(rows))
    part = place.part + 1
    return Place(part, TABLES[part].first if part < len(TABLES) else (), 0)


def _difference(table: Table, wanted: Seq[Row], found: Seq[Row]) -> str:
    """Names the first row that differs, without what is in it."""
    pairs = zip(wanted, found, strict=False)
    first = next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(wanted), len(found)))
    row = wanted[first] if first < len(wanted) else found[first]
    named = ", ".join(f"{column} {value}" for column, value in zip(table.columns, table.key(row), strict=False))
    return (
        f"The {table.name} with {named} is not the same in both stores. Nothing is lost: the old one is as it was. "
        "Drop the schema roombell in the new database and run the command again; if it happens again, please report it."
    )
