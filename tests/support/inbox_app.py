"""An application that is killed again and again: two handlers write each event into a table, which a test counts.

python inbox_app.py STORE sqlite FILE
python inbox_app.py STORE postgresql URL
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys

import uvicorn

from roombell import Receiver, RetryPolicy
from roombell.inbox import HandlerSettings, Inbox
from roombell.receiver import asgi

KEYS = {"APItest": "a secret of at least thirty-two bytes"}
RETRY = RetryPolicy(attempts=1000, base_delay_ms=10, max_delay_ms=50)
FAILING_SHARE = 0.05
"""So that kills meet lanes in back-off, and transactions that are rolled back."""


def fail_now_and_then() -> None:
    if random.random() < FAILING_SHARE:
        raise RuntimeError("in the middle of a transaction")


def with_sqlite(receiver: Receiver, path: str):
    from roombell.inbox.databases.sqlite import Sqlite

    @receiver.on("*")
    def first(event):
        with receiver.transaction(event) as database:
            database.execute("INSERT INTO effect VALUES (?, 'first')", (event.id,))
            fail_now_and_then()

    @receiver.on("*")
    def second(event):
        with receiver.transaction(event) as database:
            database.execute("INSERT INTO effect VALUES (?, 'second')", (event.id,))

    return contextlib.nullcontext(Sqlite(path))


@contextlib.asynccontextmanager
async def with_postgresql(receiver: Receiver, url: str):
    import asyncpg

    from roombell.inbox.databases.asyncpg import Asyncpg

    @receiver.on("*")
    async def first(event):
        async with receiver.transaction(event) as database:
            await database.execute("INSERT INTO effect VALUES ($1, 'first')", event.id)
            fail_now_and_then()

    @receiver.on("*")
    async def second(event):
        async with receiver.transaction(event) as database:
            await database.execute("INSERT INTO effect VALUES ($1, 'second')", event.id)

    async with asyncpg.create_pool(url, min_size=1, max_size=8) as pool:
        yield Asyncpg(pool)


async def serve(store: str, kind: str, where: str) -> None:
    receiver = Receiver(keys=KEYS)
    listening = socket.create_server(("127.0.0.1", 0))
    opened = with_sqlite(receiver, where) if kind == "sqlite" else with_postgresql(receiver, where)
    async with opened as database:
        inbox = Inbox(receiver, store=store, database=database, defaults=HandlerSettings(retry=RETRY))
        async with inbox:
            sys.stderr.write(f"Listening on http://127.0.0.1:{listening.getsockname()[1]}\n")
            config = uvicorn.Config(asgi.app(receiver), log_level="warning", access_log=False, lifespan="off")
            await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
