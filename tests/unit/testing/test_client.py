"""Webhooks posted to applications of every kind, in this process and behind a URL."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType

import flask
import pytest
import quart
from aiohttp import web
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from fastapi import FastAPI
from litestar import Litestar
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from roombell import WebhookEvent
from roombell.errors import UsageError
from roombell.receiver import DeliveryInfo, Receiver, asgi, fastapi, litestar, starlette, wsgi
from roombell.receiver import django as django_
from roombell.receiver import flask as flask_
from roombell.receiver import quart as quart_
from roombell.testing import applications
from roombell.testing.applications import ApplicationFailed
from roombell.testing.client import ClientOpener, WebhookClient
from roombell.testing.factory import DEV_KEYS, EventFactory, ManualClock
from support.web_servers import PATH, by_uvicorn, by_wsgiref, configure_django

FACTORY = EventFactory()
EVENT = FACTORY.event("participant_joined")


def receiver(taken: list) -> Receiver:
    made = Receiver(keys=DEV_KEYS)

    @made.on("*")
    def note(event: WebhookEvent, delivery: DeliveryInfo) -> None:
        taken.append((event, delivery))

    return made


def with_router(made: Receiver) -> FastAPI:
    app = FastAPI()
    app.include_router(fastapi.route(made, PATH))
    return app


def with_blueprint(made: Receiver, framework: ModuleType, adapter: ModuleType) -> object:
    app = getattr(framework, framework.__name__.capitalize())("app")
    app.register_blueprint(adapter.route(made, PATH))
    return app


@contextmanager
def django_urls(made: Receiver):
    configure_django()
    urls = ModuleType("urls")
    urls.urlpatterns = [django_.route(made, PATH)]
    with override_settings(ROOT_URLCONF=urls):
        yield


APPLICATIONS = {
    "receiver": lambda made: made,
    "asgi": asgi.app,
    "wsgi": wsgi.app,
    "starlette": lambda made: Starlette(routes=[starlette.route(made, PATH)]),
    "fastapi": with_router,
    "litestar": lambda made: Litestar(route_handlers=[litestar.route(made, PATH)]),
    "flask": lambda made: with_blueprint(made, flask, flask_),
    "quart": lambda made: with_blueprint(made, quart, quart_),
    "django by ASGI": lambda _: get_asgi_application(),
    "django by WSGI": lambda _: get_wsgi_application(),
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_test_posts_webhooks_to_an_application_in_its_process(name: str) -> None:
    taken: list = []
    made = receiver(taken)
    with django_urls(made), WebhookClient(APPLICATIONS[name](made), path=PATH) as client:
        reply = client.post(EVENT)
        assert (reply.status, reply.ok, reply.json()) == (200, True, {"duplicate": False, "id": EVENT.id})
        assert [event for event, _ in taken] == [EVENT]
        assert client.post(EVENT, authorization="nonsense").status == 401
        assert client.post(EVENT, authorization="").status == 401
        assert client.post(b"{}").status == 400
        assert [one.status for one in client.post_all([EVENT, EVENT])] == [200, 200]
        client.post(EVENT, headers={"Webhook-Sequence": "3", "Webhook-Lane": "a/1"})
        assert taken[-1][1] == DeliveryInfo(sequence=3, lane="a/1")


@pytest.mark.parametrize("name", APPLICATIONS)
async def test_a_test_that_is_a_coroutine_does_so_too(name: str) -> None:
    taken: list = []
    made = receiver(taken)
    with django_urls(made):
        async with WebhookClient(APPLICATIONS[name](made), path=PATH) as client:
            assert (await client.apost(EVENT)).ok
            assert [one.status for one in await client.apost_all([EVENT, b"{}"])] == [200, 400]
            assert (await client.apost(EVENT, authorization="nonsense")).json()["error"] == "malformed_token"
    assert [event for event, _ in taken] == [EVENT, EVENT]


@pytest.mark.parametrize("server", [by_uvicorn, by_wsgiref])
async def test_an_application_may_be_behind_a_url(server) -> None:
    taken: list = []
    made = receiver(taken)
    app = asgi.app(made) if server is by_uvicorn else wsgi.app(made)
    async with server(app, "/base/") as url, WebhookClient(url, path=PATH) as client:
        assert (await client.apost(EVENT)).ok
        assert (await client.apost(b"{}")).status == 400
        await asyncio.to_thread(client.post, EVENT)
    assert [event for event, _ in taken] == [EVENT, EVENT]


def test_nobody_behind_a_url_is_told_as_such() -> None:
    with pytest.raises(ApplicationFailed, match="did not answer"):
        WebhookClient("http://127.0.0.1:9").post(EVENT)


# Starting and stopping


class Living:
    """An application that notes its life, with a task in its background."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.app = Starlette(lifespan=self.lifespan, routes=[Route("/", self.answer, methods=["POST"])])

    @asynccontextmanager
    async def lifespan(self, _app: Starlette):
        self.seen.append("start")
        self.work: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        task = asyncio.create_task(self.background())
        yield {"place": "in the state"}
        task.cancel()
        self.seen.append("stop")

    async def background(self) -> None:
        while True:
            done = await self.work.get()
            self.seen.append("background")
            done.set_result(None)

    async def answer(self, request: Request) -> PlainTextResponse:
        done = asyncio.get_running_loop().create_future()
        self.work.put_nowait(done)
        await done
        return PlainTextResponse(request.state.place)


def test_an_application_is_started_with_the_first_webhook_and_stopped_with_the_client() -> None:
    living = Living()
    with WebhookClient(living.app) as client:
        assert [client.post(EVENT).text for _ in range(2)] == ["in the state"] * 2
    assert living.seen == ["start", "background", "background", "stop"]


async def test_in_a_coroutine_it_lives_as_long_as_the_client() -> None:
    living = Living()
    async with WebhookClient(living.app) as client:
        assert living.seen == ["start"]
        assert (await client.apost(EVENT)).text == "in the state"
    assert living.seen == ["start", "background", "stop"]


def test_an_application_that_cannot_start_says_why() -> None:
    @asynccontextmanager
    async def lifespan(_app: Starlette):
        raise RuntimeError("the database is not there")
        yield

    client = WebhookClient(Starlette(lifespan=lifespan))
    with pytest.raises(ApplicationFailed, match=r"(?s)startup failed.*the database is not there"):
        client.post(EVENT)
    client.close()


def test_what_an_application_raises_comes_through() -> None:
    async def broken(scope: dict, receive: object, send: object) -> None:
        raise ZeroDivisionError

    with WebhookClient(broken) as client, pytest.raises(ZeroDivisionError):
        client.post(EVENT)


def test_an_application_that_does_not_answer_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(scope: dict, receive: object, send: object) -> None: ...

    async def endless(scope: dict, receive: object, send: object) -> None:
        if scope["type"] == "http":
            await asyncio.get_running_loop().create_future()

    with WebhookClient(silent) as client, pytest.raises(ApplicationFailed, match="without an answer"):
        client.post(EVENT)
    with WebhookClient(lambda environ, start_response: []) as client, pytest.raises(ApplicationFailed, match="without"):
        client.post(EVENT)
    monkeypatch.setattr(applications, "ANSWER_S_MAX", 0.01)
    with WebhookClient(endless) as client, pytest.raises(ApplicationFailed, match="did not answer within"):
        client.post(EVENT)


# Time


def test_a_test_moves_the_time_of_signing_and_of_verification_together() -> None:
    clock = ManualClock()
    app = asgi.app(Receiver(keys=DEV_KEYS, now=clock))
    with WebhookClient(app, now=clock) as ours, WebhookClient(app) as real:
        assert ours.post(EVENT).ok
        assert real.post(EVENT).json()["error"] == "token_not_yet_valid"
        late = EventFactory(clock=ManualClock(clock())).signed(EVENT)
        clock.advance(7200)
        assert ours.post(EVENT).ok
        assert ours.post(late.body, authorization=late.authorization).json()["error"] == "token_expired"


# First-day mistakes


async def test_post_in_a_coroutine_says_what_to_write() -> None:
    with pytest.raises(UsageError, match=r"await client\.apost\(event\)"):
        WebhookClient(asgi.app(Receiver(keys=DEV_KEYS))).post(EVENT)


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (web.Application(), "TestServer"),
        (object(), "no ASGI or WSGI application"),
        ("127.0.0.1:8000", "no base URL"),
        ("ftp://a", "no base URL"),
    ],
)
def test_what_is_no_application_is_refused_with_what_to_give(app: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        WebhookClient(app)


def test_a_fixture_that_is_taken_for_the_client_says_what_to_write() -> None:
    with pytest.raises(UsageError, match=r"roombell_client\(app"):
        ClientOpener(DEV_KEYS).post(EVENT)


def test_a_client_whose_application_fails_to_stop_leaves_no_other_open(caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def stubborn(stopped: list[str], name: str):
        yield
        stopped.append(name)
        raise RuntimeError(name)

    opener, stopped = ClientOpener(DEV_KEYS), []
    for name in ("first", "second"):
        receiver = Receiver(keys=DEV_KEYS)
        receiver.on("*")(lambda event: None)
        opener(asgi.app(receiver, lifespan=stubborn(stopped, name))).post(EVENT, authorization="")
    with pytest.raises(ApplicationFailed, match="shutdown failed"):
        opener.close()
    assert sorted(stopped) == ["first", "second"]
    assert "never retrieved" not in caplog.text


def test_a_path_begins_with_a_slash() -> None:
    with pytest.raises(UsageError, match="'livekit'"):
        WebhookClient("http://a.example", path="livekit")
