"""The data channels of a participant: one that loses nothing, one that may."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from aiortc import RTCSctpTransport
from aiortc.exceptions import InvalidStateError
from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters

RELIABLE: Final = "_reliable"
LOSSY: Final = "_lossy"

BUFFERED_BYTES_MAX: Final = {RELIABLE: 4_000_000, LOSSY: 256_000}
"""How much waits for a client that takes nothing, or has no channel yet; what comes after is dropped for it alone."""

_log: Final = logging.getLogger("roombell.rooms.media")


class Channels:
    """Both directions: the client sends on the channels that it opens, and gets on those that are opened here.

    :param on_data: called with each message: a channel's label, and the bytes.
    """

    def __init__(self, on_data: Callable[[str, bytes], None]) -> None:
        self._on_data = on_data
        self._out: dict[str, RTCDataChannel] = {}
        self._early: dict[str, list[bytes]] = {RELIABLE: [], LOSSY: []}
        """What came before the channels were open: a participant is active a moment earlier."""
        self.dropped = 0
        """Messages that a client did not get since too many waited for it."""

    def open(self, sctp: RTCSctpTransport) -> None:
        """Opens the channels to the client; the second time nothing happens."""
        if self._out:
            return
        reliable = RTCDataChannelParameters(label=RELIABLE)
        lossy = RTCDataChannelParameters(label=LOSSY, ordered=False, maxRetransmits=0)
        self._out = {form.label: RTCDataChannel(sctp, form) for form in (reliable, lossy)}
        for channel in self._out.values():
            channel.on("open", lambda channel=channel: self._on_open(channel))

    def take(self, channel: RTCDataChannel) -> None:
        """Listens to a channel that the client opened; those of other names are for nobody here."""
        if channel.label not in BUFFERED_BYTES_MAX:
            return

        def receive(message: bytes | str) -> None:
            try:
                if isinstance(message, bytes):
                    self._on_data(channel.label, message)
            except Exception:  # noqa: BLE001 - raised, it would end the client's transport
                _log.exception("A message of %d bytes on %s could not be handled.", len(message), channel.label)

        channel.on("message", receive)

    def send(self, label: str, message: bytes) -> None:
        """Sends, or drops where the client is too far behind."""
        channel = self._out.get(label)
        if channel is None or channel.readyState == "connecting":
            early = self._early[label]
            if sum(map(len, early)) + len(message) <= BUFFERED_BYTES_MAX[label]:
                early.append(message)
            else:
                self.dropped += 1
        elif channel.bufferedAmount > BUFFERED_BYTES_MAX[label]:
            self.dropped += 1
        else:
            _send(channel, message)

    def _on_open(self, channel: RTCDataChannel) -> None:
        early, self._early[channel.label] = self._early[channel.label], []
        for message in early:
            _send(channel, message)


def _send(channel: RTCDataChannel, message: bytes) -> None:
    try:
        channel.send(message)
    except (InvalidStateError, ValueError) as error:
        _log.debug("A message of %d bytes was not sent on %s: %s", len(message), channel.label, error)
