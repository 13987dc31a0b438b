"""An inbox lives as long as the application, whichever framework runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from fastapi import FastAPI
from litestar import Litestar
from quart import Quart
from starlette.applications import Starlette

from roombell import Inbox, Receiver
from roombell.receiver import asgi
from support.inbox import KEYS


@asynccontextmanager
async def served(app) -> AsyncIterator[None]:
    """What an ASGI server does with an application from its start to its stop."""
    events: asyncio.Queue[dict] = asyncio.Queue()
    said: asyncio.Queue[dict] = asyncio.Queue()
    running = asyncio.create_task(
        app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, events.get, said.put)
    )
    await events.put({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    yield
    await events.put({"type": "lifespan.shutdown"})
    assert (await said.get())["type"] == "lifespan.shutdown.complete"
    await running


def quart(inbox: Inbox) -> Quart:
    app = Quart(__name__)

    @app.while_serving
    async def lifespan():
        async with inbox:
            yield

    return app


@asynccontextmanager
async def aiohttp_served(inbox: Inbox) -> AsyncIterator[None]:
    app = web.Application()
    app.cleanup_ctx.append(inbox.lifespan)
    runner = web.AppRunner(app)
    await runner.setup()
    yield
    await runner.cleanup()


APPLICATIONS: dict[str, Callable] = {
    "fastapi": lambda inbox, _: served(FastAPI(lifespan=inbox.lifespan)),
    "starlette": lambda inbox, _: served(Starlette(lifespan=inbox.lifespan)),
    "litestar": lambda inbox, _: served(Litestar(lifespan=[inbox.lifespan])),
    "quart": lambda inbox, _: served(quart(inbox)),
    "asgi": lambda inbox, receiver: served(asgi.app(receiver, lifespan=inbox)),
    "aiohttp": lambda inbox, _: aiohttp_served(inbox),
}


@pytest.mark.parametrize("name", APPLICATIONS)
async def test_an_inbox_runs_from_the_application_s_start_to_its_stop(name: str) -> None:
    receiver = Receiver(keys=KEYS)
    inbox = Inbox(receiver, store="memory:")
    for _ in range(2):
        async with APPLICATIONS[name](inbox, receiver):
            assert inbox.running
        assert not inbox.running
