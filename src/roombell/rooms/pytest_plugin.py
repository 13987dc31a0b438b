"""The pytest plugin: fixture ``livekit_server``. Light: nothing of the room server is imported before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from roombell.rooms.threaded import LiveKitServer


@pytest.fixture
def livekit_server() -> Iterator[LiveKitServer]:
    """A LiveKit-compatible server in this process, on a free port, for one test.

    ``url``, ``api_key`` and ``api_secret`` are for clients and SDKs; ``webhooks`` has what it would have sent, and
    waits for what is to come; ``token(identity, room)`` lets somebody join.
    """
    try:
        from roombell.rooms.threaded import LiveKitServer
    except ImportError as error:
        pytest.fail(f"livekit_server needs more than is installed ({error}): pip install 'roombell[rooms]'")
    with LiveKitServer() as server:
        yield server
