"""Data from one participant to the others: everybody in its room, or those it names."""

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
    """Passes a message on, with the sender's name in it; what the sender says of who it is does not count.

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
    _sign(packet, sender)
    data = packet.SerializeToString()
    identities = {*packet.destination_identities, *packet.user.destination_identities}
    sids = set(packet.user.destination_sids)
    for other in sessions.in_room(sender.room):
        is_meant = (not identities and not sids) or other.identity in identities or other.sid in sids
        if other is not sender and is_meant:
            other.peer.channels.send(label, data)


def _sign(packet: models.DataPacket, sender: Session) -> None:
    packet.participant_identity, packet.participant_sid = sender.identity, sender.sid
    if packet.HasField("user"):
        packet.user.participant_identity, packet.user.participant_sid = sender.identity, sender.sid
