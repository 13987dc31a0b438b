"""Receivers in every framework, behind a real server each."""

from __future__ import annotations

import asyncio
import socket
import threading
import wsgiref.simple_server
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import ModuleType

import django
import django.conf
import flask
import hypercorn.asyncio
import quart
import uvicorn
import werkzeug.serving
from aiohttp import web
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from django.urls import path
from fastapi import Depends, FastAPI
from litestar import Litestar
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from roombell import WebhookEvent
from roombell.receiver import (
    Receiver,
    aiohttp,
    asgi,
    fastapi,
    litestar,
    starlette,
    wsgi,
)
from roombell.receiver import django as django_
from roombell.receiver import (
    flask as flask_,
)
from roombell.receiver import (
    quart as quart_,
)

PATH = "/hooks/livekit"


# Servers


@asynccontextmanager
async def by_uvicorn(app, path: str = PATH) -> AsyncIterator[str]:
    """Uvicorn, without its ``serve``: that looks for a reason to stop ten times a second, and sleeps before it ends."""
    config = uvicorn.Config(app, log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup([listener])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{path}"
        finally:
            for one in server.servers:
                one.close()
            for connection in list(server.server_state.connections):
                connection.shutdown()
            await server.lifespan.shutdown()


@asynccontextmanager
async def by_hypercorn(app, path: str = PATH) -> AsyncIterator[str]:
    config = hypercorn.Config()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config.bind = [f"fd://{listener.detach()}"]  # it closes what it is given
    stop = asyncio.Event()
    serving = asyncio.create_task(hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait))
    try:
        yield f"http://127.0.0.1:{port}{path}"
    finally:
        stop.set()
        await serving


class _QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


class _QuietWerkzeug(werkzeug.serving.WSGIRequestHandler):
    def log(self, *_: object) -> None: ...


@asynccontextmanager
async def in_thread(server, path: str) -> AsyncIterator[str]:
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{path}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def by_wsgiref(app, path: str = PATH) -> AbstractAsyncContextManager[str]:
    """Reads no chunked bodies, as many WSGI servers."""
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=_QuietHandler)
    return in_thread(server, path)


def by_werkzeug(app, path: str = PATH) -> AbstractAsyncContextManager[str]:
    """Hands over chunked bodies, as gunicorn does."""
    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True, request_handler=_QuietWerkzeug)
    return in_thread(server, path)


# Applications


def plain_asgi(receiver: Receiver):
    return by_uvicorn(asgi.app(receiver))


def plain_asgi_hypercorn(receiver: Receiver):
    return by_hypercorn(asgi.app(receiver))


def plain_wsgi(receiver: Receiver):
    return by_wsgiref(wsgi.app(receiver))


def plain_wsgi_chunked(receiver: Receiver):
    return by_werkzeug(wsgi.app(receiver))


def starlette_route(receiver: Receiver):
    return by_uvicorn(Starlette(routes=[starlette.route(receiver, PATH)]))


def starlette_mount(receiver: Receiver):
    return by_uvicorn(Starlette(routes=[Mount(PATH, starlette.app(receiver))]), f"{PATH}/")


def starlette_view(receiver: Receiver):
    methods = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
    return by_uvicorn(Starlette(routes=[Route(PATH, starlette.view(receiver), methods=methods)]))


def fastapi_router(receiver: Receiver):
    app = FastAPI()
    app.include_router(fastapi.route(receiver, PATH))
    return by_uvicorn(app)


def fastapi_dependency(receiver: Receiver):
    app = FastAPI()

    @app.api_route(PATH, methods=["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"], **fastapi.OPENAPI)
    async def livekit(event: WebhookEvent = Depends(receiver)) -> dict[str, object]:
        return {"id": event.id, "duplicate": False}

    return by_uvicorn(app)


def litestar_route(receiver: Receiver):
    return by_uvicorn(Litestar(route_handlers=[litestar.route(receiver, PATH)]))


def flask_blueprint(receiver: Receiver):
    app = flask.Flask("app")
    app.register_blueprint(flask_.route(receiver, PATH))
    return by_werkzeug(app)


def quart_blueprint(receiver: Receiver):
    app = quart.Quart("app")
    app.register_blueprint(quart_.route(receiver, PATH))
    return by_hypercorn(app)


@asynccontextmanager
async def serve_aiohttp(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, lingering_time=0)  # for the rest of a body that was refused
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
    finally:
        await runner.cleanup()


def aiohttp_route(receiver: Receiver):
    app = web.Application()
    app.add_routes([aiohttp.route(receiver, PATH)])
    return serve_aiohttp(app)


def configure_django() -> None:
    if not django.conf.settings.configured:
        django.conf.settings.configure(
            SECRET_KEY="of the tests",
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
        )
        django.setup()


@asynccontextmanager
async def _django(pattern, application: Callable, server: Callable) -> AsyncIterator[str]:
    configure_django()
    urls = ModuleType("urls")
    urls.urlpatterns = [pattern]
    with override_settings(ROOT_URLCONF=urls):
        async with server(application()) as url:
            yield url


def django_wsgi(receiver: Receiver):
    return _django(django_.route(receiver, PATH), get_wsgi_application, by_wsgiref)


def django_wsgi_chunked(receiver: Receiver):
    return _django(django_.route(receiver, PATH), get_wsgi_application, by_werkzeug)


def django_asgi(receiver: Receiver):
    return _django(path(PATH[1:], django_.async_view(receiver)), get_asgi_application, by_uvicorn)


def django_asgi_plain_view(receiver: Receiver):
    return _django(django_.route(receiver, PATH), get_asgi_application, by_uvicorn)


def django_wsgi_async_view(receiver: Receiver):
    return _django(path(PATH[1:], django_.async_view(receiver)), get_wsgi_application, by_werkzeug)


SERVERS = {
    name.__name__: name
    for name in (
        plain_asgi, plain_asgi_hypercorn, plain_wsgi, plain_wsgi_chunked, starlette_route, starlette_mount,
        starlette_view, fastapi_router, fastapi_dependency, litestar_route, flask_blueprint, quart_blueprint,
        aiohttp_route, django_wsgi, django_wsgi_chunked, django_asgi, django_asgi_plain_view, django_wsgi_async_view,
    )
}  # fmt: skip
