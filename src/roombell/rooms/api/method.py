"""One method of the server API: what it takes, who may call it, what it does."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from roombell.rooms.api import rights, twirp
from roombell.rooms.hub import Hub
from roombell.signing import KeyRing, VideoGrants

Q = TypeVar("Q", bound=Message)

Handler = Callable[[Hub, KeyRing, VideoGrants, bytes, bool], Awaitable[Message]]
"""Hub, keys, the caller's grants, the body, and whether it is JSON."""


def method(
    request_type: type[Q],
    may: Callable[[VideoGrants, Q], bool],
    call: Callable[[Hub, Q], Message | Awaitable[Message]],
    check: Callable[[KeyRing, Q], None] = lambda _keys, _request: None,
) -> Handler:
    """A handler that decodes, checks the grants, then ``check``s, then calls.

    It raises ``Refused`` and nothing else that a caller could cause.
    """

    async def handle(hub: Hub, keys: KeyRing, grants: VideoGrants, body: bytes, is_json: bool) -> Message:  # noqa: FBT001
        request = twirp.decode(body, request_type, is_json=is_json)
        if not may(grants, request):
            raise rights.denied()
        check(keys, request)
        answer = call(hub, request)
        return await answer if inspect.isawaitable(answer) else answer

    return handle
