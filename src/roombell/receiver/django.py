"""Django: a view, synchronous or asynchronous, and a route. Neither is subject to CSRF checks: the token proves more.

Django refuses bodies over ``DATA_UPLOAD_MAX_MEMORY_SIZE`` (2.5 MiB), which is meant for forms. Here the receiver's
``body_bytes_max`` counts, whichever is larger.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from io import BytesIO
from typing import Final

from roombell.receiver.answers import Answer, is_chunked, length
from roombell.receiver.missing import missing
from roombell.receiver.receiver import Receiver
from roombell.receiver.wsgi import header_lookup

try:
    from asgiref.sync import sync_to_async
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIRequest
    from django.http import HttpRequest, HttpResponse, RawPostDataException
    from django.urls import URLPattern, path
    from django.views.decorators.csrf import csrf_exempt
except ImportError as error:
    raise missing("Django", error) from error

__all__ = ["async_view", "route", "view"]

_PIECE_BYTES: Final = 64 * 1024


def view(receiver: Receiver) -> Callable[[HttpRequest], HttpResponse]:
    """A view. Handlers are called in the request's thread, with its database connections."""

    @csrf_exempt
    def livekit_webhook(request: HttpRequest) -> HttpResponse:
        header, body = header_lookup(request.META), _Body(request)
        method = request.method or ""
        return _response(receiver.respond_blocking(method, header, body.read, reads_chunked=body.is_readable_in_chunks))

    return livekit_webhook


def async_view(receiver: Receiver) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    """An asynchronous view. Synchronous handlers are called where Django calls synchronous code (``sync_to_async``)."""

    @csrf_exempt
    async def livekit_webhook(request: HttpRequest) -> HttpResponse:
        header, body = header_lookup(request.META), _Body(request)
        early = receiver.before_body(request.method or "", header, reads_chunked=body.is_readable_in_chunks)
        answer = early or await receiver.respond(request.method or "", header, body.chunks(), _in_djangos_thread)
        return _response(answer)

    return livekit_webhook


def route(receiver: Receiver, route: str, *, name: str = "livekit_webhook") -> URLPattern:
    """A pattern for ``urlpatterns``, for ``view``; with ``async_view``, write ``path(route, async_view(receiver))``."""
    return path(route.removeprefix("/"), view(receiver), name=name)


class _Body:
    """The raw body of Django's request, read in pieces. Where possible it stays readable as ``request.body``."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._is_chunked = is_chunked(header_lookup(request.META))
        self._read: Callable[[int], bytes] | None = None

    @property
    def is_readable_in_chunks(self) -> bool:
        """Whether a body whose length was not declared can be had: under ASGI Django has gathered it."""
        return not isinstance(self._request, WSGIRequest) or "wsgi.input_terminated" in self._request.META

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        self._read = self._read or self._open()
        return self._read(size)

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it; from memory or a temporary file, so that nothing waits."""
        while piece := self.read(_PIECE_BYTES):
            yield piece

    def _open(self) -> Callable[[int], bytes]:
        if self._is_chunked:
            # Django's own stream ends at the declared length; under WSGI there is none.
            is_wsgi = isinstance(self._request, WSGIRequest)
            return self._request.META["wsgi.input"].read if is_wsgi else self._request.read
        forms_bytes_max = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if forms_bytes_max is None or length(self._request.META.get("CONTENT_LENGTH")) <= forms_bytes_max:
            return BytesIO(_untouched(self._request)).read
        return self._request.read


def _untouched(request: HttpRequest) -> bytes:
    """The body; nothing, where a form or a middleware has used it up, so that the answer is what it is everywhere."""
    try:
        return request.body
    except RawPostDataException:
        return b""


def _response(answer: Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
    if answer.status != HTTPStatus.NO_CONTENT:
        response["Content-Length"] = str(len(answer.body))  # else a middleware's to add, if there is one
    return response


async def _in_djangos_thread(call: Callable[[], object]) -> object:
    return await sync_to_async(call)()
