"""Participants without WebRTC: they join, publish, mute, drop and leave as a script says, and make the same events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final

from livekit.protocol import models, rtc

from roombell.errors import UsageError
from roombell.rooms.effects import DataSent, Left, Moved, Notice, TrackRemoved
from roombell.rooms.participants import Joining

if TYPE_CHECKING:
    from typing import Self

    from roombell.rooms.hub import Hub

NOTICES_MAX: Final = 1_000
"""How many notices a scripted participant remembers."""

SOURCES: Final = {
    "microphone": (models.MICROPHONE, models.AUDIO),
    "camera": (models.CAMERA, models.VIDEO),
    "screen_share": (models.SCREEN_SHARE, models.VIDEO),
    "screen_share_audio": (models.SCREEN_SHARE_AUDIO, models.AUDIO),
}
"""What can be published, with its kind."""


class Scripted:
    """One scripted participant. ``with`` and ``async with`` let it in and out; ``hub.scripted`` makes it.

    ::

        with hub.scripted("alice", room="demo") as alice:
            alice.publish("microphone")

    What LiveKit would refuse raises ``Refused``. Nothing waits: when a method returns, its events are told.
    """

    def __init__(self, hub: Hub, joining: Joining) -> None:
        self._hub = hub
        self._joining = joining
        self._answers: dict[str, Callable[[str], str]] = {}
        self.identity = joining.identity
        self.sid = ""
        """Empty as long as it is in no room."""
        self.room = joining.room
        self.tracks: dict[str, str] = {}
        """The sids of its tracks by their names."""
        self.notices: deque[Notice] = deque(maxlen=NOTICES_MAX)
        """What it was told, the newest last."""

    def __enter__(self) -> Self:
        self.join()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    @property
    def info(self) -> models.ParticipantInfo:
        """What the server knows of it.

        :raises Refused: it is in no room.
        """
        return self._hub.do(self._hub.participants.by_sid, self.sid)

    @property
    def data(self) -> tuple[models.DataPacket, ...]:
        """The packets that it was sent, by the server and by other participants."""
        return tuple(one.packet for one in self.notices if isinstance(one, DataSent))

    def join(self) -> None:
        """Comes in and is active. One that is in comes in anew, which puts its old session out."""
        self.arrive()
        self.connect()

    def arrive(self) -> None:
        """Comes in, and its media connection is not up so far."""
        participants = self._hub.participants
        self.sid = self._hub.do(participants.join, self._joining).participant.sid
        self.room, self.tracks = self._joining.room, {}
        self._hub.attach(self.sid, self)
        self._hub.do(participants.welcome, self.sid)

    def connect(self) -> None:
        """Its media connection comes up."""
        self._hub.do(self._hub.participants.connect, self.sid)

    def leave(self, reason: models.DisconnectReason = models.CLIENT_INITIATED) -> None:
        """Goes. Nothing happens if it is in no room."""
        sid, self.sid = self.sid, ""
        self._hub.do(self._hub.participants.leave, sid, reason)

    def drop(self) -> None:
        """Loses its connection: it is gone for the server, too."""
        self.leave(models.CONNECTION_TIMEOUT)

    def publish(self, source: str = "microphone", *, name: str = "", muted: bool = False, media: bool = True) -> str:
        """A track with media; returns its sid.

        :param source: one of ``SOURCES``.
        :param media: False: the track is announced, and no packet comes.
        """
        request = track_request(source, name=name, cid=f"{source}-{len(self.tracks)}", muted=muted)
        track_sid = self._hub.do(self._hub.tracks.add, self.sid, request).sid
        self.tracks[request.name] = track_sid
        if media:
            self._hub.do(self._hub.tracks.media, self.sid, track_sid)
        return track_sid

    def unpublish(self, name: str = "microphone") -> None:
        """Ends the track of this name, or of this sid."""
        self._hub.do(self._hub.tracks.remove, self.sid, self._track(name))
        self.tracks = {one: sid for one, sid in self.tracks.items() if name not in (one, sid)}

    def mute(self, name: str = "microphone", *, muted: bool = True) -> None:
        """Mutes the track of this name or sid, or lets it sound again."""
        self._hub.do(self._hub.tracks.mute, self.sid, self._track(name), muted=muted)

    def update(self, *, name: str = "", metadata: str = "", attributes: dict[str, str] | None = None) -> None:
        """Changes what it says of itself, which its token must allow."""
        self._hub.do(self._hub.participants.update_self, self.sid, name, metadata, attributes or {})

    def send(self, payload: bytes, *, topic: str = "", to: Iterable[str] = (), lossy: bool = False) -> None:
        """Sends data to the participants of these identities; to all others in the room where none is given."""
        packet = models.DataPacket(
            kind=models.DataPacket.LOSSY if lossy else models.DataPacket.RELIABLE, destination_identities=to
        )
        packet.user.payload = payload
        if topic:
            packet.user.topic = topic
        self._relay(packet)

    def answer(self, method: str, with_: Callable[[str], str]) -> None:
        """From now on calls of ``method``, by the server and by other participants, are answered with what ``with_``
        makes of their payload.
        """
        self._answers[method] = with_

    def tell(self, notice: Notice) -> None:
        """Takes a notice (``Session``)."""
        self.notices.append(notice)
        match notice:
            case Left():
                self.sid = ""
            case Moved():
                self.sid, self.room = notice.participant.sid, notice.room.name
            case TrackRemoved():
                self.tracks = {name: sid for name, sid in self.tracks.items() if sid != notice.track_sid}
            case DataSent() if notice.packet.HasField("rpc_request"):
                self._answer(notice.packet.rpc_request, caller=notice.packet.participant_identity)
            case _:
                pass

    def _answer(self, request: models.RpcRequest, caller: str) -> None:
        response = models.RpcResponse(request_id=request.id)
        if request.method in self._answers:
            response.payload = self._answers[request.method](request.payload)
        else:
            response.error.code, response.error.message = 1400, "Method not supported at destination"
        if not self._hub.calls.take(self.sid, models.DataPacket(rpc_response=response)):
            self._relay(
                models.DataPacket(destination_identities=[caller], rpc_ack=models.RpcAck(request_id=request.id))
            )
            self._relay(models.DataPacket(destination_identities=[caller], rpc_response=response))

    def _relay(self, packet: models.DataPacket) -> None:
        self._hub.do(self._hub.participants.relay, self.sid, packet)

    def _track(self, name: str) -> str:
        sid = self.tracks.get(name, name)
        if sid not in self.tracks.values():
            raise UsageError(
                f"{self.identity} publishes no track {name!r}; it does: {', '.join(self.tracks) or 'none'}."
            )
        return sid


def track_request(source: str, *, name: str = "", cid: str = "", muted: bool = False) -> rtc.AddTrackRequest:
    """The request of a client that publishes ``source``.

    :raises UsageError: there is no such source.
    """
    if source not in SOURCES:
        raise UsageError(f"There is no source {source!r}; there is: {', '.join(SOURCES)}.")
    number, kind = SOURCES[source]
    is_video = kind == models.VIDEO
    return rtc.AddTrackRequest(
        cid=cid,
        name=name or source,
        type=kind,
        source=number,
        muted=muted,
        stream="camera",
        width=1280 if is_video else 0,
        height=720 if is_video else 0,
    )
