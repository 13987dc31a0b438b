"""Calls a web application from a test: an ASGI or WSGI one in this process, or any by its URL."""

from __future__ import annotations

import asyncio
import http.client
import inspect
import io
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping
from contextlib import suppress
from typing import Final, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from roombell.errors import RoombellError, UsageError

T = TypeVar("T")
Json = dict[str, object]
Message = MutableMapping[str, object]
Environ = dict[str, object]
AsgiApplication = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
Write = Callable[[bytes], object]

ANSWER_S_MAX: Final = 30.0
"""How long an application may take to start, to answer or to stop."""
_SPEC: Final = {"version": "3.0", "spec_version": "2.3"}
_HOST: Final = "testserver"


class StartResponse(Protocol):
    """WSGI's: takes status and headers, and gives a function that writes."""

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: object = None, /) -> Write: ...


WsgiApplication = Callable[[Environ, StartResponse], Iterable[bytes]]


class ApplicationFailed(RoombellError):
    """The application under test did not start, raised instead of answering, or did not answer in time."""

    code = "application_failed"


class Request(msgspec.Struct, frozen=True):
    """What is posted."""

    path: str
    headers: dict[str, str]
    body: bytes


class Reply(msgspec.Struct, frozen=True):
    """What the application answered."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it is a 2xx: the sender takes the webhook for delivered."""
        return 200 <= self.status <= 299  # noqa: PLR2004

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> object:
        """The body's JSON."""
        return cast("object", msgspec.json.decode(self.body))


class Application(Protocol):
    """An application, whatever its kind."""

    def call(self, request: Request) -> Reply:
        """Posts it and waits."""

    async def acall(self, request: Request) -> Reply:
        """The same, in the running event loop."""

    async def start(self) -> None:
        """Starts it, where it can be started."""

    async def stop(self) -> None:
        """Stops it."""

    def close(self) -> None:
        """Gives up what ``call`` needed."""


class Asgi:
    """An ASGI application. ``call`` has it run in an event loop of its own, in a thread, until ``close``; what it does
    in the background goes on there. ``acall`` has it run in the loop of the test.
    """

    def __init__(self, app: AsgiApplication) -> None:
        self._app = app
        self._life: _Lifespan | None = None
        self._loop: _LoopThread | None = None

    def call(self, request: Request) -> Reply:
        if self._loop is None:
            self._loop = _LoopThread()
            self._loop.run(self.start())
        return self._loop.run(self.acall(request))

    async def acall(self, request: Request) -> Reply:
        started: list[Message] = []
        pieces: list[bytes] = []
        unread = [request.body]

        async def receive() -> Message:
            if not unread:  # the sender stays for its answer, and has no more to say
                await asyncio.get_running_loop().create_future()
            return {"type": "http.request", "body": unread.pop(), "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.append(message)
            else:
                pieces.append(cast("bytes", message.get("body", b"")))

        await _in_time(self._app(self._scope(request), receive, send), "did not answer")
        if not started:
            raise ApplicationFailed("The application returned without an answer.")
        pairs = cast("Iterable[tuple[bytes, bytes]]", started[0].get("headers", ()))
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
        return Reply(cast("int", started[0]["status"]), headers, b"".join(pieces))

    def _scope(self, request: Request) -> Message:
        path, _, query = request.path.partition("?")
        return {
            "type": "http",
            "asgi": _SPEC,
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in _told(request)],
            "client": ("127.0.0.1", 50_000),
            "server": (_HOST, 80),
            "state": dict(self._life.state) if self._life is not None else {},
        }

    async def start(self) -> None:
        self._life = _Lifespan(self._app)
        await self._life.start()

    async def stop(self) -> None:
        if self._life is not None:
            life, self._life = self._life, None
            await life.stop()

    def close(self) -> None:
        if self._loop is not None:
            loop, self._loop = self._loop, None
            try:
                loop.run(self.stop())
            finally:
                loop.close()


class _Lifespan:
    """An ASGI application's start and stop. One that knows none of it is let be."""

    def __init__(self, app: AsgiApplication) -> None:
        self._app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self.state: Json = {}

    async def start(self) -> None:
        scope: Message = {"type": "lifespan", "asgi": _SPEC, "state": self.state}
        self._task = asyncio.ensure_future(self._app(scope, self._inbox.get, self._answers.put))
        try:
            await self._go("startup")
        except ApplicationFailed:
            await self._end()
            raise

    async def stop(self) -> None:
        try:
            if not self._task.done():
                await self._go("shutdown")
        finally:
            await self._end()

    async def _end(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError, Exception):  # it told by a message what failed
            await self._task

    async def _go(self, phase: str) -> None:
        self._inbox.put_nowait({"type": f"lifespan.{phase}"})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait({answer, self._task}, timeout=ANSWER_S_MAX, return_when=asyncio.FIRST_COMPLETED)
        if answer.done() and str(answer.result()["type"]).endswith(".failed"):
            raise ApplicationFailed(f"The application's {phase} failed: {answer.result().get('message', '')}")
        if not answer.done() and not self._task.done():
            raise ApplicationFailed(f"The application's {phase} takes longer than {ANSWER_S_MAX:g} s.")
        answer.cancel()


class Wsgi:
    """A WSGI application, which is called in the test's thread; by ``acall`` in another one."""

    def __init__(self, app: WsgiApplication) -> None:
        self._app = app

    def call(self, request: Request) -> Reply:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: object = None, /) -> Write:
            started[:] = [(status, headers)]
            return pieces.append

        pieces: list[bytes] = []
        answered = self._app(self._environ(request), start_response)
        try:
            pieces += answered
        finally:
            close: object = getattr(answered, "close", None)
            if callable(close):
                close()
        if not started:
            raise ApplicationFailed("The application returned without an answer.")
        status, headers = started[0]
        return Reply(int(status.split()[0]), {name.lower(): value for name, value in headers}, b"".join(pieces))

    def _environ(self, request: Request) -> Environ:
        path, _, query = request.path.partition("?")
        named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in _told(request)}
        return {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": _HOST,
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": named.pop("HTTP_CONTENT_TYPE", ""),
            "CONTENT_LENGTH": str(len(request.body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **named,
        }

    async def acall(self, request: Request) -> Reply:
        return await asyncio.to_thread(self.call, request)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def close(self) -> None: ...


class Served:
    """An application behind a URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{url!r} is no base URL. It begins with http:// or https:// and names a host.")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._base = parts.path.rstrip("/")

    def call(self, request: Request) -> Reply:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=ANSWER_S_MAX)
        try:
            connection.request("POST", self._base + request.path, request.body, request.headers)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, headers, answer.read())
        except (OSError, http.client.HTTPException) as error:
            where = f"{self._host}:{self._port}" if self._port else self._host
            raise ApplicationFailed(f"{where} did not answer: {type(error).__name__} {error}.") from error
        finally:
            connection.close()

    async def acall(self, request: Request) -> Reply:
        return await asyncio.to_thread(self.call, request)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def close(self) -> None: ...


class _LoopThread:
    """An event loop that runs in a thread of its own until it is closed."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="roombell-client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        """What ``coroutine`` returns there; the calling thread waits."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._runner.close()


def _told(request: Request) -> list[tuple[str, str]]:
    """The headers as they come in where no connection adds any."""
    return [("Host", _HOST), *request.headers.items()]


async def _in_time(work: Awaitable[None], what: str) -> None:
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            await work
    except TimeoutError as error:
        raise ApplicationFailed(f"The application {what} within {ANSWER_S_MAX:g} s.") from error


def application_of(app: object) -> Application:
    """The application in what a user has: an ASGI or WSGI callable, a receiver, or a base URL.

    :raises UsageError: it is none of these.
    """
    if isinstance(app, str):
        return Served(app)
    from roombell.receiver import Receiver, asgi

    if isinstance(app, Receiver):
        return Asgi(asgi.app(app))
    if not callable(app) or type(app).__module__.partition(".")[0] == "aiohttp":
        raise UsageError(
            f"{type(app).__name__} is no ASGI or WSGI application. Serve it (aiohttp: `TestServer` of "
            "`aiohttp.test_utils`) and give its base URL."
        )
    if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
        return Asgi(cast("AsgiApplication", app))
    return Wsgi(cast("WsgiApplication", app))
