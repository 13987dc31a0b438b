"""Posts signed webhooks to an application, as LiveKit's server does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from roombell.errors import UsageError
from roombell.events import WebhookEvent
from roombell.signing import KeyRing
from roombell.testing.applications import Reply, Request, application_of
from roombell.testing.factory import CONTENT_TYPE, DEV_KEYS

_NO_HEADERS: Final[Mapping[str, str]] = {}


class WebhookClient:
    """A LiveKit server, as an application sees it.

    ::

        with WebhookClient(app, path="/livekit") as client:
            assert client.post(factory.event("participant_joined")).ok

    In a test that is a coroutine: ``async with`` and ``await client.apost(event)``; the application runs in the test's
    own event loop then. Either way ``with`` has an ASGI application started and stopped (its lifespan).

    :param app: an ASGI or WSGI application, a receiver, or the base URL of an application that is being served.
    :param path: where it takes webhooks.
    :param keys: API secrets by key name; the first one signs.
    :param now: the clock of the signatures, unix seconds: the application's own, where a test moves that.
    :raises UsageError: ``app`` is none of these, or there is no key.
    """

    def __init__(
        self,
        app: object,
        *,
        path: str = "/",
        keys: Mapping[str, str] = DEV_KEYS,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not path.startswith("/"):
            raise UsageError(f"`path` begins with a slash; {path!r} was given.")
        self._app = application_of(app)
        self._path = path
        self._ring = KeyRing(keys)
        self._api_key = next(iter(keys))
        self._now = now

    def post(
        self,
        event: WebhookEvent | bytes,
        *,
        authorization: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Reply:
        """Posts a webhook and waits for the answer.

        :param event: an event, or a body of any bytes.
        :param authorization: in place of a right signature; ``""`` for none.
        :param headers: more headers, as ``{"Webhook-Sequence": "3"}``.
        :raises UsageError: it is called in an event loop, which would wait for itself: use ``apost``.
        :raises ApplicationFailed: there was no answer. What an application in this process raises comes through.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._app.call(self._request(event, authorization, headers))
        raise UsageError("`post` blocks, and this test is a coroutine: write `await client.apost(event)`.")

    async def apost(
        self,
        event: WebhookEvent | bytes,
        *,
        authorization: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Reply:
        """``post`` for tests that are coroutines."""
        return await self._app.acall(self._request(event, authorization, headers))

    def post_all(self, events: Iterable[WebhookEvent | bytes]) -> list[Reply]:
        """Posts one after the other, each when the one before is answered."""
        return [self.post(event) for event in events]

    async def apost_all(self, events: Iterable[WebhookEvent | bytes]) -> list[Reply]:
        """``post_all`` for tests that are coroutines."""
        return [await self.apost(event) for event in events]

    def close(self) -> None:
        """Stops an application that ``post`` started."""
        self._app.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self._app.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._app.stop()

    def _request(self, event: WebhookEvent | bytes, authorization: str | None, headers: Mapping[str, str]) -> Request:
        body = event if isinstance(event, bytes) else event.raw
        token = (
            self._ring.sign(body, api_key=self._api_key, now=self._now()) if authorization is None else authorization
        )
        every = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
        every |= {"Authorization": token} if token else {}
        return Request(self._path, every | dict(headers), body)


class ClientOpener:
    """What the fixture ``roombell_client`` gives: called with an application, it opens a client for it."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys
        self._opened: list[WebhookClient] = []

    def __call__(self, app: object, *, path: str = "/", now: Callable[[], float] = time.time) -> WebhookClient:
        """A client that signs with the fixture's keys and is closed when the test is over; see ``WebhookClient``."""
        client = WebhookClient(app, path=path, keys=self._keys, now=now)
        self._opened.append(client)
        return client

    def post(self, *_: object, **__: object) -> Reply:
        """Says what to write instead."""
        raise UsageError(
            "Say to which application: `client = roombell_client(app, path=…)`, then `client.post(event)`."
        )

    apost = post

    def close(self) -> None:
        """Closes every client, also where one of the applications fails to stop."""
        with ExitStack() as closing:
            for client in self._opened:
                closing.callback(client.close)
