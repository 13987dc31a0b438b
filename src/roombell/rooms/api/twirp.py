"""Twirp over HTTP: which bytes are which message, and which refusal is which answer.

Source: the Twirp wire protocol, version 7 (twitchtv.github.io/twirp/docs/spec_v7.html). JSON is taken in lowerCamelCase
and in snake_case, and given as Twirp's Go server gives it: snake_case, with the defaults.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from roombell.rooms.refusals import Code, Refused

Q = TypeVar("Q", bound=Message)

JSON: Final = "application/json"
PROTOBUF: Final = "application/protobuf"


class _ErrorBody(msgspec.Struct):
    code: str
    msg: str


def decode(body: bytes, request_type: type[Q], *, is_json: bool) -> Q:
    """The request in ``body``; what the installed protocol does not know is ignored.

    :raises Refused: it is none.
    """
    try:
        if is_json:
            return json_format.Parse(body or b"{}", request_type(), ignore_unknown_fields=True)
        return request_type.FromString(body)
    except (json_format.ParseError, DecodeError, ValueError, RecursionError):
        # Not chained, and not quoted: the body may carry storage secrets.
        form = "json" if is_json else "protobuf"
        name = request_type.DESCRIPTOR.name
        raise Refused(Code.MALFORMED, f"the {form} request could not be decoded as {name}") from None


def answer(message: Message, *, is_json: bool) -> web.Response:
    """The answer of a call that went well."""
    if not is_json:
        return web.Response(body=message.SerializeToString(), content_type=PROTOBUF)
    text = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
    )
    return web.Response(text=text, content_type=JSON)


def refusal(refused: Refused) -> web.Response:
    """The answer of a call that was refused: JSON, whatever the call was."""
    body = msgspec.json.encode(_ErrorBody(refused.refusal.value, refused.message))
    return web.Response(body=body, status=refused.http_status, content_type=JSON)


def form_of(request: web.Request) -> bool:
    """Whether the call is in JSON.

    :raises Refused: it is in neither form.
    """
    if request.method != "POST":
        raise Refused(Code.BAD_ROUTE, f"unsupported method {request.method} (only POST is allowed)")
    if request.content_type not in (JSON, PROTOBUF):
        raise Refused(Code.BAD_ROUTE, f"unexpected Content-Type: {request.content_type!r}")
    return request.content_type == JSON
