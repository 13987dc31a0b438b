"""Data of a participant, as its client sends it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from livekit.protocol import models

from roombell.rooms.media.channels import RELIABLE

if TYPE_CHECKING:
    from roombell.rooms.signalling.session import Session
    from roombell.rooms.signalling.sessions import Sessions

_log: Final = logging.getLogger("roombell.rooms.signalling")


def relay(sessions: Sessions, sender: Session, label: str, message: bytes) -> None:
    """Passes a message on to those that it is for.

    What cannot be read, and what comes from somebody who may not send, goes nowhere.
    """
    if sender.is_over or not sender.participant.permission.can_publish_data:
        return
    try:
        packet = models.DataPacket.FromString(message)
    except DecodeError:
        _log.info("A data message of %d bytes from %s is no DataPacket.", len(message), sender.identity)
        return
    if label == RELIABLE and packet.sequence:
        if packet.sequence <= sender.last_sequence:
            return  # sent once more after a resume, though it had come
        sender.last_sequence = packet.sequence
    if sessions.hub.calls.take(sender.sid, packet):
        return
    packet.kind = models.DataPacket.RELIABLE if label == RELIABLE else models.DataPacket.LOSSY
    sessions.hub.do(sessions.hub.participants.relay, sender.sid, packet)
