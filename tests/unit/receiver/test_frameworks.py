"""What is peculiar to one framework; what is the same everywhere is in the contract suite."""

from __future__ import annotations

import contextlib
import inspect
import json
import subprocess
import sys
import threading

import flask
import pytest
import quart
from aiohttp import web
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from fastapi import Depends, FastAPI, Request, Response
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import request_response

from roombell import Receiver, WebhookEvent, parse
from roombell.errors import UsageError
from roombell.receiver import DeliveryInfo, aiohttp, asgi, fastapi, starlette, wsgi
from roombell.receiver import django as django_
from roombell.receiver import flask as flask_
from roombell.receiver import quart as quart_
from roombell.testing.receiver_driver import BODY, Client, Handled, new_receiver, sign
from support.web_servers import PATH, SERVERS, by_hypercorn, by_uvicorn, by_werkzeug, configure_django, serve_aiohttp

EVENT = parse(BODY)


# FastAPI


def described(**operation: object) -> dict:
    app, receiver = FastAPI(), new_receiver()

    @app.post(PATH, **operation)
    async def livekit(event: WebhookEvent = Depends(receiver)) -> None: ...

    return app.openapi()


def test_a_receiver_as_a_dependency_shows_its_header_and_nothing_that_is_not_so() -> None:
    document = described()
    operation = document["paths"][PATH]["post"]
    assert operation["security"] == [{"LiveKitWebhook": []}]
    scheme = document["components"]["securitySchemes"]["LiveKitWebhook"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")
    assert "parameters" not in operation
    assert "422" not in operation["responses"]


@pytest.mark.parametrize("made", ["dependency", "router"])
def test_a_described_operation_shows_its_body_and_its_refusals(made: str) -> None:
    if made == "dependency":
        document = described(**fastapi.OPENAPI)
    else:
        app = FastAPI()
        app.include_router(fastapi.route(new_receiver(), PATH))
        document = app.openapi()
    assert list(document["paths"][PATH]) == ["post"]
    operation = document["paths"][PATH]["post"]
    assert operation["security"] == [{"LiveKitWebhook": []}]
    assert operation["requestBody"]["required"] is True
    schema = operation["requestBody"]["content"]["application/webhook+json"]["schema"]
    assert schema["required"] == ["event"]
    assert set(operation["responses"]) == {"200", "400", "401", "413", "500", "503"}
    for status in ("400", "401", "413"):
        told = operation["responses"][status]["content"]["application/json"]["schema"]
        assert told["required"] == ["error", "message"]


async def test_a_router_can_be_included_under_a_prefix() -> None:
    handled, app = Handled(), FastAPI()
    app.include_router(fastapi.route(handled.receiver, "/livekit"), prefix="/hooks")
    assert list(app.openapi()["paths"]) == [PATH]
    async with by_uvicorn(app) as url:
        assert (await Client(url).post()).status == 200
    assert handled.events == [EVENT]


async def test_an_endpoint_gets_event_and_delivery_and_the_receivers_own_handlers_come_first() -> None:
    handled, app, seen = Handled(), FastAPI(), []

    @app.post(PATH)
    async def livekit(
        event: WebhookEvent = Depends(handled.receiver),
        delivery: DeliveryInfo = Depends(fastapi.delivery),
    ) -> dict[str, str]:
        seen.append((event, delivery, list(handled.events)))
        return {"took": event.type}

    async with by_uvicorn(app) as url:
        answer = await Client(url).post(webhook_sequence="5", webhook_lane="lane")
    assert answer.told == {"took": "participant_joined"}
    assert seen == [(EVENT, DeliveryInfo(sequence=5, lane="lane"), [EVENT])]


async def test_an_endpoint_is_not_called_for_what_is_refused_or_cannot_be_handled() -> None:
    receiver, app, seen = new_receiver(), FastAPI(), []
    receiver.on("*")(lambda event: 1 // 0)

    @app.post(PATH)
    def livekit(event: WebhookEvent = Depends(receiver)) -> None:
        seen.append(event)

    async with by_uvicorn(app) as url:
        assert (await Client(url).post(authorization="x")).error == (401, "malformed_token")
        assert (await Client(url).post()).error == (500, "handler_failed")
    assert seen == []


async def test_a_dependency_alone_is_use_enough(caplog: pytest.LogCaptureFixture) -> None:
    app, receiver = FastAPI(), new_receiver()

    @app.post(PATH)
    def livekit(event: WebhookEvent = Depends(receiver)) -> None: ...

    async with by_uvicorn(app) as url:
        assert (await Client(url).post()).status == 200
    assert "nothing handles them" not in caplog.text


async def test_an_application_may_answer_refusals_in_its_own_way() -> None:
    app, receiver = FastAPI(), new_receiver()

    @app.exception_handler(fastapi.Refused)
    async def refused(request: Request, error: fastapi.Refused) -> Response:
        return Response(f"no: {error.detail}", error.status_code)

    @app.post(PATH)
    async def livekit(event: WebhookEvent = Depends(receiver)) -> None: ...

    async with by_uvicorn(app) as url:
        answer = await Client(url).post(authorization="x")
    assert answer.status == 401
    assert answer.body.startswith(b"no: The Authorization header holds no usable token")


def test_the_constructors_signature_is_its_own_and_a_receiver_tells_only_fastapi_something_else() -> None:
    assert next(iter(inspect.signature(Receiver).parameters)) == "keys"
    script = "import inspect; from roombell import Receiver; print(inspect.signature(Receiver({'a': 'b'})))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("(request")


# Bodies that something else has read


async def test_a_starlette_middleware_may_have_read_the_body() -> None:
    handled = Handled()
    app = FastAPI()
    app.include_router(fastapi.route(handled.receiver, PATH))

    async def reading(request: Request, call_next):
        assert await request.body() == BODY
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=reading)
    async with by_uvicorn(app) as url:
        assert (await Client(url).post()).status == 200
    assert handled.events == [EVENT]


async def test_a_starlette_view_may_be_handed_a_request_whose_body_was_read() -> None:
    handled = Handled()
    view = starlette.view(handled.receiver)
    app = FastAPI()

    @app.post(PATH)
    async def livekit(request: Request) -> Response:
        await request.body()
        return await view(request)

    async with by_uvicorn(app) as url:
        assert (await Client(url).post()).status == 200
    assert handled.events == [EVENT]


async def test_a_flask_hook_may_have_read_the_body_and_code_behind_may_read_it_again() -> None:
    handled, app, after = Handled(), flask.Flask("app"), []
    app.register_blueprint(flask_.route(handled.receiver, PATH))
    app.before_request(lambda: flask.request.get_data() and None)

    @app.after_request
    def read_again(response: flask.Response) -> flask.Response:
        after.append(flask.request.get_data())
        return response

    async with by_werkzeug(app) as url:
        assert (await Client(url).post()).status == 200
    assert handled.events == [EVENT]
    assert after == [BODY]


async def test_a_flask_handler_has_the_applications_context() -> None:
    receiver, app, seen = new_receiver(), flask.Flask("app"), []
    app.register_blueprint(flask_.route(receiver, PATH))
    receiver.on("*")(lambda event: seen.append(flask.current_app.name))

    @receiver.on("*")
    async def later(event: WebhookEvent) -> None:
        seen.append(flask.request.path)

    async with by_werkzeug(app) as url:
        assert (await Client(url).post()).status == 200
    assert seen == ["app", PATH]


async def test_two_blueprints_take_webhooks_for_two_receivers() -> None:
    first, second, app = Handled(), Handled(), flask.Flask("app")
    app.register_blueprint(flask_.route(first.receiver, "/first", name="first"))
    app.register_blueprint(flask_.route(second.receiver, "/second", name="second"))
    async with by_werkzeug(app, "/second") as url:
        assert (await Client(url).post()).status == 200
    assert (first.events, second.events) == ([], [EVENT])


async def test_a_quart_hook_may_have_read_the_body() -> None:
    handled, app = Handled(), quart.Quart("app")
    app.register_blueprint(quart_.route(handled.receiver, PATH))

    @app.before_request
    async def reading() -> None:
        assert await quart.request.get_data() == BODY

    async with by_hypercorn(app) as url:
        assert (await Client(url).post()).status == 200
    assert handled.events == [EVENT]


async def test_an_aiohttp_middleware_may_have_read_the_body_and_aiohttps_own_limit_does_not_count() -> None:
    handled = Handled()

    @web.middleware
    async def reading(request: web.Request, handler):
        if request.query_string == "":
            await request.read()
        return await handler(request)

    app = web.Application(middlewares=[reading], client_max_size=len(BODY) + 1)
    app.add_routes([aiohttp.route(handled.receiver, PATH)])
    larger = BODY.replace(b'"demo"', b'"a room with a longer name"')
    async with serve_aiohttp(app) as url:
        assert (await Client(url).post()).status == 200
        assert (await Client(f"{url}?unread").post(larger)).status == 200
    assert [event.raw for event in handled.events] == [BODY, larger]


async def test_a_body_that_is_not_encoded_as_it_says_is_refused_in_aiohttp() -> None:
    async with SERVERS["aiohttp_route"](new_receiver()) as url:
        assert (await Client(url).post(content_encoding="gzip")).error == (400, "body_broken_off")


# Django


def django_post(**settings: object) -> tuple[HttpResponse, object, Handled]:
    configure_django()
    handled = Handled()
    request = RequestFactory().post(
        "/", BODY, content_type="application/webhook+json", headers={"Authorization": sign(BODY)}
    )
    with override_settings(**settings):
        return django_.view(handled.receiver)(request), request, handled


@pytest.mark.parametrize("limit", [None, 10, 2_621_440])
def test_djangos_limit_for_forms_does_not_count(limit: int | None) -> None:
    response, _, handled = django_post(DATA_UPLOAD_MAX_MEMORY_SIZE=limit)
    assert (response.status_code, handled.events) == (200, [EVENT])


def test_the_raw_body_stays_readable_in_django() -> None:
    _, request, _ = django_post()
    assert request.body == BODY


def test_a_django_middleware_may_have_read_the_body() -> None:
    configure_django()
    handled = Handled()
    request = RequestFactory().post("/", BODY, content_type="text/plain", headers={"Authorization": sign(BODY)})
    assert request.body == BODY
    assert django_.view(handled.receiver)(request).status_code == 200
    assert handled.events == [EVENT]


def test_a_body_that_a_django_middleware_has_used_up_is_refused_with_the_reason() -> None:
    configure_django()
    request = RequestFactory().post("/", BODY, content_type="text/plain", headers={"Authorization": sign(BODY)})
    request.read()
    response = django_.view(new_receiver())(request)
    told = json.loads(response.content)
    assert (response.status_code, told["error"]) == (401, "body_hash_mismatch")
    assert "the body is empty" in told["message"]


@pytest.mark.parametrize("make", [django_.view, django_.async_view])
def test_djangos_views_are_exempt_from_csrf_checks(make) -> None:
    assert make(new_receiver()).csrf_exempt is True


def test_a_django_route_has_a_name_and_bears_a_leading_slash() -> None:
    pattern = django_.route(new_receiver(), "/hooks/livekit")
    assert (str(pattern.pattern), pattern.name) == ("hooks/livekit", "livekit_webhook")


async def test_plain_handlers_of_an_asynchronous_django_view_run_where_django_runs_such_code() -> None:
    from asgiref.sync import sync_to_async

    configure_django()
    receiver, seen = new_receiver(), []
    receiver.on("*")(lambda event: seen.append(threading.get_ident()))
    request = RequestFactory().post("/", BODY, content_type="text/plain", headers={"Authorization": sign(BODY)})
    response = await django_.async_view(receiver)(request)
    assert response.status_code == 200
    assert seen == [await sync_to_async(threading.get_ident)()]


async def test_a_handler_of_a_plain_django_view_runs_in_the_requests_thread() -> None:
    configure_django()
    receiver, seen = new_receiver(), []
    receiver.on("*")(lambda event: seen.append(threading.get_ident()))
    request = RequestFactory().post("/", BODY, content_type="text/plain", headers={"Authorization": sign(BODY)})
    assert django_.view(receiver)(request).status_code == 200
    assert seen == [threading.get_ident()]


# Plain ASGI and WSGI


class Lifespan:
    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.steps = fails, []

    async def __aenter__(self) -> None:
        self.steps.append("entered")
        if self.fails:
            raise OSError("no disk")

    async def __aexit__(self, *_: object) -> None:
        self.steps.append("left")


async def lived(lifespan: Lifespan) -> list[dict]:
    sent: list[dict] = []
    incoming = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict:
        return {"type": next(incoming)}

    async def send(message: dict) -> None:
        sent.append(message)

    with contextlib.suppress(OSError):
        await asgi.app(new_receiver(), lifespan=lifespan)({"type": "lifespan"}, receive, send)
    return sent


async def test_a_lifespan_lasts_as_long_as_the_server() -> None:
    lifespan = Lifespan()
    assert [message["type"] for message in await lived(lifespan)] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert lifespan.steps == ["entered", "left"]


async def test_a_lifespan_that_fails_to_begin_is_told_to_the_server() -> None:
    assert await lived(Lifespan(fails=True)) == [{"type": "lifespan.startup.failed", "message": "OSError: no disk"}]


async def asgi_answer(scope: dict, *messages: dict, app=None) -> list[dict]:
    sent: list[dict] = []
    incoming = iter(messages)

    async def receive() -> dict:
        return next(incoming)

    async def send(message: dict) -> None:
        sent.append(message)

    await (app or asgi.app(new_receiver()))(scope, receive, send)
    return sent


async def test_a_websocket_is_closed_and_anything_else_is_an_error() -> None:
    assert await asgi_answer({"type": "websocket"}) == [{"type": "websocket.close"}]
    with pytest.raises(UsageError, match="'telegraph'"):
        await asgi_answer({"type": "telegraph"})


async def test_a_client_that_leaves_in_the_middle_of_the_body_is_answered_nothing() -> None:
    scope = {"type": "http", "method": "POST", "headers": [(b"authorization", sign(BODY).encode())]}
    part = {"type": "http.request", "body": BODY[:9], "more_body": True}
    gone = {"type": "http.disconnect"}
    assert await asgi_answer(scope, part, gone) == []
    view = request_response(starlette.view(new_receiver()))
    assert (await asgi_answer(scope | {"path": PATH}, part, gone, app=view))[0]["status"] == 400


def test_a_wsgi_server_may_have_gathered_the_chunks_itself() -> None:
    import io

    handled, statuses = Handled(), []
    environ = {
        "REQUEST_METHOD": "POST",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": str(len(BODY)),
        "HTTP_AUTHORIZATION": sign(BODY),
        "wsgi.input": io.BytesIO(BODY + b"the next request"),
    }
    wsgi.app(handled.receiver)(environ, lambda status, headers: statuses.append(status))
    assert (statuses, handled.events) == (["200 OK"], [EVENT])


# What is not installed


@pytest.mark.parametrize(
    ("module", "framework"),
    [
        ("starlette", "Starlette"),
        ("fastapi", "FastAPI"),
        ("litestar", "Litestar"),
        ("django", "Django"),
        ("flask", "Flask"),
        ("quart", "Quart"),
        ("aiohttp", "aiohttp"),
    ],
)
def test_a_framework_that_is_not_installed_is_named_with_what_to_install(module: str, framework: str) -> None:
    script = f"import sys; sys.modules[{module!r}] = None; import roombell.receiver.{module}"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"roombell.errors.UsageError: `roombell.receiver.{module}` is for applications that use")
    assert f"use {framework}," in last
    assert last.endswith(f"pip install {module}")
