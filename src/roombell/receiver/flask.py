"""Flask: a view, and a blueprint for it. Synchronous; Quart is for asynchronous applications."""

from __future__ import annotations

from collections.abc import Callable

from roombell.errors import BodyTooLarge
from roombell.receiver.answers import Answer
from roombell.receiver.missing import missing
from roombell.receiver.receiver import Receiver
from roombell.receiver.wsgi import app, header_lookup

try:
    from flask import Blueprint, Response, request
    from werkzeug.exceptions import RequestEntityTooLarge
except ImportError as error:
    raise missing("Flask", error) from error

__all__ = ["METHODS", "app", "route", "view"]

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""What a rule for ``view`` should take, so that the receiver says which are allowed."""


def view(receiver: Receiver) -> Callable[[], Response]:
    """A view function. Handlers are called in its thread and in the request's context."""

    def livekit_webhook() -> Response:
        answer = _answer(receiver)
        return Response(answer.body, answer.status, dict(answer.headers))

    return livekit_webhook


def route(receiver: Receiver, path: str, *, name: str = "roombell") -> Blueprint:
    """A blueprint for ``app.register_blueprint(…)``.

    :param name: the blueprint's; each of an application needs one of its own.
    """
    blueprint = Blueprint(name, __name__)
    blueprint.add_url_rule(path, view_func=view(receiver), methods=METHODS, provide_automatic_options=False)
    return blueprint


def _answer(receiver: Receiver) -> Answer:
    header = header_lookup(request.environ)
    early = receiver.before_body(request.method, header, reads_chunked="wsgi.input_terminated" in request.environ)
    if early is not None:
        return early
    # Werkzeug refuses what reaches its limit exactly; this one it does not reach before the receiver's is passed.
    request.max_content_length = receiver.body_bytes_max + 1
    try:
        body = request.get_data()
    except RequestEntityTooLarge:
        return receiver.refusal(BodyTooLarge(receiver.body_bytes_max))
    return receiver.answer_blocking(header, body)
