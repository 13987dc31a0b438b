"""A client that takes nothing: what waits for it is bounded, and what comes after is dropped for it alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from roombell.rooms.media.aiortc_private import WAITING_BYTES_MAX, IceConnection
from roombell.rooms.media.channels import BUFFERED_BYTES_MAX, LOSSY, RELIABLE, Channels


@pytest.mark.parametrize("label", [RELIABLE, LOSSY])
@pytest.mark.parametrize(("over", "sent", "dropped"), [(0, [b"x"], 0), (1, [], 1)])
def test_a_channel_that_is_behind_gets_no_more_messages(label: str, over: int, sent: list[bytes], dropped: int) -> None:
    went_out: list[bytes] = []
    behind = SimpleNamespace(
        label=label, readyState="open", bufferedAmount=BUFFERED_BYTES_MAX[label] + over, send=went_out.append
    )
    channels = Channels(lambda _label, _message: None)
    channels._out = {label: behind}
    channels.send(label, b"x")
    assert (went_out, channels.dropped) == (sent, dropped)


def test_what_comes_before_a_channel_is_open_is_bounded_too() -> None:
    channels = Channels(lambda _label, _message: None)
    half = b"x" * (BUFFERED_BYTES_MAX[LOSSY] // 2)
    for _ in range(3):
        channels.send(LOSSY, half)
    assert channels.dropped == 1


@pytest.mark.parametrize(("waiting", "sent"), [(WAITING_BYTES_MAX - 1, [b"x"]), (WAITING_BYTES_MAX, [])])
async def test_a_socket_that_takes_nothing_gets_no_more_packets(waiting: int, sent: list[bytes]) -> None:
    went_out: list[bytes] = []
    socket = SimpleNamespace(
        get_write_buffer_size=lambda: waiting, is_closing=lambda: False, sendto=lambda data, _: went_out.append(data)
    )
    connection = IceConnection(["127.0.0.1"], is_controlling=False)
    connection._nominated = {1: SimpleNamespace(protocol=SimpleNamespace(transport=socket), remote_addr=("::", 9))}
    connection.send_now(b"x")
    assert went_out == sent
    connection._nominated = {}
