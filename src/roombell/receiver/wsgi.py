"""Any WSGI server or framework: the receiver as an application of its own, to be served alone or mounted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from roombell.receiver.delivery import HeaderLookup
from roombell.receiver.receiver import Receiver

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

__all__ = ["app", "header_lookup"]


def app(receiver: Receiver) -> Callable[[WSGIEnvironment, StartResponse], list[bytes]]:
    """An application that takes webhooks at whatever path it is served or mounted at.

    Bodies that come in chunks are taken where the server hands them over (``wsgi.input_terminated``); elsewhere they
    are answered 411.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        answer = receiver.respond_blocking(
            environ["REQUEST_METHOD"],
            header_lookup(environ),
            environ["wsgi.input"].read,
            reads_chunked=bool(environ.get("wsgi.input_terminated")),
        )
        headers = list(answer.headers)
        if answer.status != HTTPStatus.NO_CONTENT:
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [answer.body]

    return application


def header_lookup(environ: Mapping[str, object]) -> HeaderLookup:
    """The request's headers by name, as WSGI spells them."""

    def header(name: str) -> str | None:
        key = name.upper().replace("-", "_")
        value = environ.get(key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}")
        return value if isinstance(value, str) else None

    def unless_read_already(name: str) -> str | None:
        # A server that gathers chunks itself (waitress) then declares the length, and leaves the other header there.
        if name == "Transfer-Encoding" and header("Content-Length"):
            return None
        return header(name)

    return unless_read_already
