"""What the HTTP server costs per request, without what handlers do: `python -m bench server` (needs wrk).

Starts the server on uvloop in a process of its own, loads it with wrk, and prints requests per second and the
server's user and system CPU microseconds per request, which is the figure to trust on a shared machine. Three
handlers: an answer at once, a deferred one as the ingest gives, and a coroutine.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

import uvloop

from roombell.service.http import HttpServer
from roombell.service.messages import Deferred, Request, Response, json_response
from roombell.service.router import Router

BODY_BYTES = 840
TOKEN = "t" * 235
SECONDS = 5
CONNECTIONS = (16, 64, 256)


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Later(Deferred):
    def __init__(self, future: asyncio.Future[None]) -> None:
        self.when_done = future.add_done_callback

    def when_done(self, callback) -> None: ...

    def response(self) -> Response:
        return json_response({"id": "EV_G2MvCSqvx5DD", "duplicate": False})


def at_once(_request: Request) -> Response:
    return json_response({"id": "EV_G2MvCSqvx5DD", "duplicate": False})


def deferred(_request: Request) -> Deferred:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return Later(future)


async def coroutine(_request: Request) -> Response:
    return json_response({"id": "EV_G2MvCSqvx5DD", "duplicate": False})


async def serve(pipe: Connection) -> None:
    router = Router()
    for handler in (at_once, deferred, coroutine):
        router.add(f"/{handler.__name__}", POST=handler)
    server = HttpServer(router, SystemClock())
    await server.start(["127.0.0.1"], 0)
    pipe.send(server.port)
    while await asyncio.to_thread(pipe.recv):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send(usage.ru_utime + usage.ru_stime)
    await server.stop()


def run_server(pipe: Connection) -> None:
    uvloop.run(serve(pipe))


def script() -> str:
    return (
        f'wrk.method = "POST"\nwrk.body = string.rep("x", {BODY_BYTES})\n'
        f'wrk.headers["Authorization"] = "{TOKEN}"\n'
        'wrk.headers["Content-Type"] = "application/webhook+json"\nwrk.headers["User-Agent"] = "LiveKit"\n'
    )


def load(wrk: str, url: str, connections: int, lua: str) -> int:
    command = [wrk, "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", lua, url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(out)
    return int(re.search(r"(\d+) requests in", out)[1])


def main(_arguments: Sequence[str]) -> int:
    wrk = shutil.which("wrk")
    if wrk is None:
        sys.exit("wrk is not installed; `apt install wrk` brings it.")
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=run_server, args=(there,))
    process.start()
    port = here.recv()
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        lua.write(script())
        lua.flush()
        for path in ("at_once", "deferred", "coroutine"):
            for connections in CONNECTIONS:
                here.send(True)
                before = here.recv()
                requests = load(wrk, f"http://127.0.0.1:{port}/{path}", connections, lua.name)
                here.send(True)
                us = (here.recv() - before) / requests * 1e6
                print(f"{path:10} c={connections:<4} {requests / SECONDS:8.0f} req/s {us:6.1f} us/req", flush=True)
    here.send(False)
    process.join(10)
    return 0
