"""``roombell migrate``: from a store on a file to one on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click
import msgspec

from roombell.cli.exits import ExitCode
from roombell.cli.options import json_option
from roombell.cli.output import Output
from roombell.errors import StoreUnavailable, UsageError
from roombell.settings import StoreKind, StoreSettings
from roombell.stores.moving import Move, Moved, Source, Target
from roombell.stores.sqlite.moving import opened_source
from roombell.wiring import move_target

if TYPE_CHECKING:
    from roombell.stores.postgres.moving import PostgresTarget

_STEPS: Final = {"carry": "carried over", "compare": "compared"}


class _Summary(msgspec.Struct, frozen=True, tag_field="record", tag="summary"):
    store_id: str
    endpoint: int
    event: int
    lane: int
    delivery: int
    attempt: int
    document: int
    already: bool


@click.command(short_help="Move a store from a file to PostgreSQL.")
@click.option("--from", "from_", metavar="URL", required=True, help="The store to leave, as sqlite:///roombell.db.")
@click.option(
    "--to",
    metavar="URL",
    required=True,
    help="An empty database, as postgresql://user@host/database; the password can be in PGPASSWORD or ~/.pgpass.",
)
@json_option
def migrate(from_: str, to: str, *, as_json: bool) -> int:
    """Move everything in a store on a file to a database: endpoints, what is pending, and history.

    Stop the service first. Ended before it is done, the same command goes on where it was.
    """
    path = _source_path(from_)
    return asyncio.run(_migrate(path, to, Output(json=as_json)))


async def _migrate(path: str, to: str, output: Output) -> ExitCode:
    target = _target(to)
    with opened_source(path) as source:
        await target.open()
        try:
            return await _move(source, target, output)
        finally:
            await target.close()


async def _move(source: Source, target: Target, output: Output) -> ExitCode:
    move = Move(source, target)
    place = await move.begin()
    if place is not None:
        try:
            async for moved in move.carry(place):
                _tell(moved, output)
            async for moved in move.compare():
                _tell(moved, output)
            await move.finish()
        except (StoreUnavailable, asyncio.CancelledError):
            output.error("Not finished. The old store is as it was; the same command goes on.")
            raise
    output.record(_Summary(store_id=move.contents.store_id, **move.contents.rows, already=place is None))
    if place is None:
        output.line("It was moved there before. Nothing was done.")
    else:
        output.line(("Moved: every row is in the database as it was in the file.", "bold"))
        output.line("Put the database into the configuration's store. The file is as it was: never start on it again,")
        output.line("it would deliver a second time.")
    return ExitCode.OK


def _tell(moved: Moved, output: Output) -> None:
    output.record(moved)
    if moved.rows == moved.total or output.is_terminal:
        output.line(f"{_STEPS[moved.step]:<12}  {moved.table:<8}  {moved.rows:>12,} of {moved.total:,}")


def _source_path(url: str) -> str:
    settings = _store("--from", url)
    if settings.kind is not StoreKind.SQLITE:
        raise UsageError("--from: only a store on a file can be moved; name one as sqlite:///roombell.db")
    return settings.path


def _target(url: str) -> PostgresTarget:
    settings = _store("--to", url)
    if settings.postgres is None:
        raise UsageError("--to: a store moves to PostgreSQL only; write postgresql://user:password@host:5432/database")
    return move_target(settings.postgres)


def _store(option: str, url: str) -> StoreSettings:
    try:
        return StoreSettings.of_url(url)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None
