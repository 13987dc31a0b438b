"""Three workers on one database, while they are killed, stopped and cut off, and the server is restarted and crashes.

Seen by the receiver: nothing that was answered 200 is lost, every lane comes in order and without a gap, and two attempts
of a lane are under way at once only where a worker that was cut off had sent one already.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster import restart
from support.fleet import Fleet, fleet, run_and_check
from support.postgres import PostgresServer

DISTURBANCES = ("kill", "stop", "fast", "cut", "immediate", "kill", "break", "server kill", "stop", "kill")
CUT_OFF = ("stop", "cut", "break")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module's own: it is stopped and killed."""
    with PostgresServer() as server:
        yield server


async def disturb(all_: Fleet, server: PostgresServer, how: str) -> None:
    worker = all_.draws.choice(all_.workers.all)
    match how:
        case "kill":
            await worker.kill()
            await worker.spawn()
            await worker.ready()
        case "stop" | "cut" | "break":
            await all_.without(worker, how)
        case _:
            await restart(server, how.removeprefix("server "))


@pytest.mark.timeout(400)
async def test_what_was_answered_200_survives_whatever_happens_to_workers_and_server(
    tmp_path: Path, server: PostgresServer
) -> None:
    async with fleet(tmp_path, server.port, server.new_database()) as all_:
        disturbances = [functools.partial(disturb, all_, server, how) for how in DISTURBANCES]
        await run_and_check(all_, disturbances, cut_offs=sum(how in CUT_OFF for how in DISTURBANCES))
    assert all_.producers.statuses[0] > 0, "no kill met a request"
    assert all_.producers.statuses[503] > 0, "no request met a server that was down"
