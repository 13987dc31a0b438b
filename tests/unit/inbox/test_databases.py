"""One suite for every kind of database: what a handler writes commits once, with the fact that it is done."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from roombell.errors import AlreadyDone, OutOfTime, StoreError, UsageError
from roombell.inbox.databases import AsyncDatabase
from roombell.inbox.databases.asyncpg import Asyncpg
from roombell.inbox.databases.psycopg import AsyncPsycopg, Psycopg
from roombell.inbox.databases.sqlalchemy import AsyncSqlAlchemy, SqlAlchemy
from roombell.inbox.databases.sqlite import Sqlite
from roombell.inbox.transaction import Database, Transaction
from roombell.inbox.upkeep import forget, prepare
from roombell.stores import done
from roombell.transport.handlers import HANDLING, Handling
from support.inbox import event

EVENT = event(id="EV_1")
NOTHING = contextlib.nullcontext()
INSERT = "INSERT INTO effect (what) VALUES ('%s')"


@dataclass
class Case:
    """A database with a table ``effect``, and how its transactions write."""

    database: Database
    write: Callable[[object, str], object]
    rows: Callable[[str], list[tuple]]
    is_postgres: bool = True

    async def do(
        self,
        what: str,
        *,
        handling: Handling | None = None,
        before_end: Callable[[], object] = int,
        then: Sequence[str] = (),
    ) -> None:
        """Writes ``what`` as a handler would that is called for ``EVENT``; whatever goes wrong with ``then`` it passes over."""
        HANDLING.set(handling or call())
        if isinstance(self.database, AsyncDatabase):
            async with Transaction(self.database, EVENT) as transaction:
                await self.write(transaction, INSERT % what)
                for statement in then:
                    with contextlib.suppress(Exception):
                        await self.write(transaction, statement)
                before_end()
        else:
            await asyncio.to_thread(self.do_blocking, what, before_end, then)

    def do_blocking(self, what: str, before_end: Callable[[], object] = int, then: Sequence[str] = ()) -> None:
        with Transaction(self.database, EVENT) as transaction:
            self.write(transaction, INSERT % what)
            for statement in then:
                with contextlib.suppress(Exception):
                    self.write(transaction, statement)
            before_end()

    @property
    def effects(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT what FROM effect")]


def call(handler="app.handler", *, event_id="EV_1", seconds=60.0) -> Handling:
    return Handling(handler, EVENT, event_id, 1, time.monotonic() + seconds)


def sqlite_rows(path: Path) -> Callable[[str], list[tuple]]:
    def rows(statement: str) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    return rows


def postgres_rows(url: str) -> Callable[[str], list[tuple]]:
    def rows(statement: str) -> list[tuple]:
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    return rows


def execute(transaction, statement):
    return transaction.execute(statement)


def execute_text(transaction, statement):
    return transaction.execute(text(statement))


def driver(url: str, name: str) -> str:
    return url.replace("postgresql://", f"postgresql+{name}://")


@contextlib.asynccontextmanager
async def with_sqlite(path: Path) -> AsyncIterator[Case]:
    yield Case(Sqlite(path), execute, sqlite_rows(path), is_postgres=False)


@contextlib.asynccontextmanager
async def with_sqlalchemy_on_sqlite(path: Path) -> AsyncIterator[Case]:
    engine = create_engine(f"sqlite:///{path}")
    yield Case(SqlAlchemy(sessionmaker(engine)), execute_text, sqlite_rows(path), is_postgres=False)
    engine.dispose()


@contextlib.asynccontextmanager
async def with_sqlalchemy(url: str) -> AsyncIterator[Case]:
    engine = create_engine(driver(url, "psycopg"))
    yield Case(SqlAlchemy(engine), execute_text, postgres_rows(url))
    engine.dispose()


@contextlib.asynccontextmanager
async def with_async_engine(url: str) -> AsyncIterator[Case]:
    engine = create_async_engine(driver(url, "asyncpg"))
    yield Case(AsyncSqlAlchemy(engine), execute_text, postgres_rows(url))
    await engine.dispose()


@contextlib.asynccontextmanager
async def with_async_sessions(url: str) -> AsyncIterator[Case]:
    engine = create_async_engine(driver(url, "asyncpg"))
    yield Case(AsyncSqlAlchemy(async_sessionmaker(engine)), execute_text, postgres_rows(url))
    await engine.dispose()


@contextlib.asynccontextmanager
async def with_asyncpg(url: str) -> AsyncIterator[Case]:
    async with asyncpg.create_pool(url, min_size=1, max_size=4) as pool:
        yield Case(Asyncpg(pool), execute, postgres_rows(url))


@contextlib.asynccontextmanager
async def with_async_psycopg(url: str) -> AsyncIterator[Case]:
    async with AsyncConnectionPool(url, min_size=1, max_size=4, open=False) as pool:
        yield Case(AsyncPsycopg(pool), execute, postgres_rows(url))


@contextlib.asynccontextmanager
async def with_psycopg(url: str) -> AsyncIterator[Case]:
    with ConnectionPool(url, min_size=1, max_size=4, open=False) as pool:
        yield Case(Psycopg(pool), execute, postgres_rows(url))


ON_SQLITE = (with_sqlite, with_sqlalchemy_on_sqlite)
ON_POSTGRES = (with_sqlalchemy, with_async_engine, with_async_sessions, with_asyncpg, with_async_psycopg, with_psycopg)


@pytest.fixture(scope="module")
def shared_url(postgres):
    """One database for all of these tests: making one takes longer than most of them."""
    return postgres.new_database()


@pytest.fixture(params=[*ON_SQLITE, *ON_POSTGRES], ids=lambda with_it: with_it.__name__.removeprefix("with_"))
async def case(request, tmp_path):
    where = tmp_path / "app.db" if request.param in ON_SQLITE else request.getfixturevalue("shared_url")
    async with request.param(where) as made:
        made.rows("DROP TABLE IF EXISTS effect")
        made.rows("DROP TABLE IF EXISTS roombell_done")
        made.rows("CREATE TABLE effect (what TEXT)")
        await prepare(made.database)
        yield made


async def test_what_is_written_commits_once_however_often_the_handler_is_called(case):
    await case.do("first")
    with pytest.raises(AlreadyDone):
        await case.do("again")
    assert case.effects == ["first"]


async def test_each_handler_and_each_event_has_a_turn_of_its_own(case):
    await case.do("one")
    await case.do("two", handling=call("app.other"))
    await case.do("three", handling=call(event_id="EV_\0"))
    with pytest.raises(AlreadyDone):
        await case.do("again", handling=call(event_id="EV_\0"))
    assert sorted(case.effects) == ["one", "three", "two"]


async def test_a_handler_that_raises_has_done_nothing(case):
    def fail():
        raise LookupError("no")

    with pytest.raises(LookupError):
        await case.do("half", before_end=fail)
    assert case.effects == []
    await case.do("whole")
    assert case.effects == ["whole"]


async def test_a_handler_whose_time_is_over_commits_nothing(case):
    with pytest.raises(OutOfTime, match=r"app\.handler with participant_joined EV_1"):
        await case.do("late", handling=call(seconds=-1))
    assert case.effects == []
    await case.do("in time")


async def test_what_is_lost_by_an_error_that_was_caught_is_not_taken_for_done(case):
    """PostgreSQL rolls back all of it, and answers COMMIT as if that were well."""
    caught = pytest.raises(UsageError, match=r"the error was caught.*savepoint") if case.is_postgres else NOTHING
    with caught:
        await case.do("half", then=["INSERT INTO nowhere VALUES (1)"])
    if case.is_postgres:
        assert case.effects == []
        await case.do("half")
    with pytest.raises(AlreadyDone):
        await case.do("again")
    assert case.effects == ["half"]


async def test_what_fails_in_a_savepoint_spoils_nothing(case):
    await case.do("kept", then=["SAVEPOINT one", "INSERT INTO nowhere VALUES (1)", "ROLLBACK TO SAVEPOINT one"])
    with pytest.raises(AlreadyDone):
        await case.do("again")
    assert case.effects == ["kept"]


async def test_a_transaction_that_was_rolled_back_by_hand_is_told_and_its_work_not_done_twice(case):
    with pytest.raises(UsageError, match="ended inside of its block"):
        await case.do("gone", then=["ROLLBACK", INSERT % "outside"])
    with contextlib.suppress(AlreadyDone):
        await case.do("again")
    assert case.effects in (["outside"], ["again"])


async def test_a_second_transaction_of_one_call_is_refused_and_not_taken_for_done(case):
    first = call()
    if isinstance(case.database, AsyncDatabase):
        await case.do("first", handling=first)
        with pytest.raises(UsageError, match="Write all in one"):
            async with Transaction(case.database, EVENT):
                pass
    else:
        HANDLING.set(first)

        def both():
            case.do_blocking("first")
            with pytest.raises(UsageError, match="Write all in one"):
                case.do_blocking("second")

        await asyncio.to_thread(both)
    assert case.effects == ["first"]


async def test_of_many_workers_that_have_the_same_event_one_commits(case):
    """As when one was stopped for longer than its lease, and the next one began."""
    results = await asyncio.gather(*[one_worker(case, n) for n in range(4)], return_exceptions=True)
    assert sorted(str(type(one).__name__) for one in results) == ["AlreadyDone"] * 3 + ["NoneType"]
    assert len(case.effects) == 1


async def one_worker(case: Case, number: int) -> None:
    await case.do(f"worker {number}")


async def test_old_rows_are_forgotten_a_few_at_a_time(case):
    await case.do("old")
    assert await forget(case.database, 1000) == 0
    assert await forget(case.database, 1 << 60) == 1
    assert case.rows("SELECT count(*) FROM roombell_done") == [(0,)]


async def test_preparing_twice_is_fine(case):
    await prepare(case.database)
    await case.do("still works")


@pytest.mark.parametrize("with_it", ON_POSTGRES, ids=lambda with_it: with_it.__name__)
async def test_preparing_waits_for_no_transaction_that_is_under_way(with_it, shared_url):
    """An application that starts must not stand behind another one's long handler, nor have everybody stand behind it."""
    async with with_it(shared_url) as case:
        await prepare(case.database)
        with psycopg.connect(shared_url) as another:
            another.execute("INSERT INTO roombell_done VALUES ('EV_9', 'app.slow', 1)")
            async with asyncio.timeout(60):
                await prepare(case.database)
            another.rollback()


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_database_that_rolls_nothing_back_is_refused(shared_url, is_async):
    if is_async:
        engine = create_async_engine(driver(shared_url, "asyncpg"), isolation_level="AUTOCOMMIT")
        with pytest.raises(UsageError, match="without AUTOCOMMIT"):
            await prepare(AsyncSqlAlchemy(engine))
        await engine.dispose()
    else:
        plain = create_engine(driver(shared_url, "psycopg"), isolation_level="AUTOCOMMIT")
        with pytest.raises(UsageError, match="without AUTOCOMMIT"):
            await prepare(SqlAlchemy(plain))
        plain.dispose()


async def test_the_wrong_kind_of_with_says_which_is_right(case):
    HANDLING.set(call())
    if isinstance(case.database, AsyncDatabase):
        with pytest.raises(UsageError, match="async def"), Transaction(case.database, EVENT):
            pass
    else:
        with pytest.raises(UsageError, match="write the handler as `def`"):
            async with Transaction(case.database, EVENT):
                pass


async def test_a_transaction_is_for_the_event_that_is_being_handled(case):
    HANDLING.set(Handling("app.handler", event(id="EV_2"), "EV_2", 1, time.monotonic() + 60))
    transaction = Transaction(case.database, EVENT)
    entering = (
        transaction.__aenter__()
        if isinstance(case.database, AsyncDatabase)
        else asyncio.to_thread(transaction.__enter__)
    )
    with pytest.raises(UsageError, match="EV_2"):
        await entering


async def test_a_coroutine_that_would_hold_up_the_event_loop_is_told_so(tmp_path):
    HANDLING.set(call())
    with pytest.raises(UsageError, match="hold up the event loop"), Transaction(Sqlite(tmp_path / "app.db"), EVENT):
        pass


def test_a_transaction_outside_of_a_handler_is_refused(tmp_path):
    with pytest.raises(UsageError, match="nothing is being handled"), Sqlite(tmp_path / "app.db").transaction(EVENT):
        pass


async def test_a_user_who_may_make_no_table_can_use_one_that_is_there(database_url):
    rows = postgres_rows(database_url)
    rows("CREATE TABLE effect (what TEXT)")
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("DROP ROLE IF EXISTS app")
        owner.execute("CREATE ROLE app LOGIN PASSWORD 'app'")
        owner.execute("GRANT INSERT ON effect TO app")
    url = database_url.replace(database_url.split("//")[1].split("@")[0], "app:app")
    async with with_asyncpg(url) as case:
        with pytest.raises(StoreError, match=r"transactions cannot be used.*roombell_done"):
            await prepare(case.database)
        async with with_asyncpg(database_url) as owned:
            await prepare(owned.database)
        rows("GRANT SELECT, INSERT, DELETE ON roombell_done TO app")
        await prepare(case.database)
        await case.do("by the app")
        assert [row[0] for row in rows("SELECT what FROM effect")] == ["by the app"]


def test_the_table_in_the_documentation_is_the_one_that_is_made():
    page = " ".join((Path(__file__).parents[3] / "docs" / "how-to" / "inbox.md").read_text(encoding="utf-8").split())
    for statement in done.CREATE:
        assert " ".join(statement.named.replace("IF NOT EXISTS ", "").split()) in page


@pytest.mark.parametrize("what", ["commit", "rollback", "executescript", "__enter__"])
def test_sqlite_s_connection_leaves_the_end_to_the_block(tmp_path, what):
    database = Sqlite(tmp_path / "app.db")
    database.prepare()
    HANDLING.set(call())
    arguments = ("SELECT 1",) if what == "executescript" else ()
    with pytest.raises(UsageError, match="out of the block"), database.transaction(EVENT) as connection:
        getattr(connection, what)(*arguments)
    with database.transaction(EVENT):
        pass
