"""The official Python client with a voice and an ear: it publishes tones and pictures, and tells what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

import numpy as np
from livekit import rtc

from roombell.rooms.threaded import LiveKitServer
from roombell.signing import VideoGrants

RATE = 48_000
FRAME = 1920
"""Samples given to the client at a time: 40 ms."""
WAIT_S = 30.0
SOUND_FRAMES = 4
"""How many loud frames, of 100 ms, are looked at to find a tone."""


class Client:
    """One participant, and what it has got of the others."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.room = rtc.Room()
        self.heard: dict[str, float] = {}
        """The tone of each other participant, in Hz, when it was recognized."""
        self.frames: dict[str, int] = {}
        """How many pictures came from each."""
        self.data: list[tuple[str, bytes]] = []
        self.told: list[str] = []
        """Names of the room's events, as they came."""
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self.room.on("track_subscribed", self._on_track)
        self.room.on("data_received", self._on_data)
        for name in (
            "participant_connected",
            "participant_disconnected",
            "track_published",
            "track_unpublished",
            "track_subscribed",
            "track_unsubscribed",
            "track_muted",
            "track_unmuted",
            "reconnecting",
            "reconnected",
            "disconnected",
            "room_metadata_changed",
            "participant_metadata_changed",
            "participant_attributes_changed",
            "participant_name_changed",
            "token_refreshed",
            "moved",
        ):
            self.room.on(name, self._noting(name))

    async def until(self, is_true: Callable[[], object], what: str = "") -> None:
        """Until something is true of what this client got."""
        try:
            async with asyncio.timeout(WAIT_S), self._changed:
                await self._changed.wait_for(is_true)
        except TimeoutError:
            told = f"heard {self.heard}, saw {self.frames}, data {self.data}, told {self.told}"
            raise AssertionError(f"{self.identity} waited in vain for {what or is_true}: {told}") from None

    async def until_heard(self, tones: dict[str, float]) -> None:
        """Until each of these participants was heard with its tone."""
        await self.until(lambda: all(is_tone(self.heard.get(who), hz) for who, hz in tones.items()), f"{tones}")

    async def until_told(self, name: str, count: int = 1) -> None:
        await self.until(lambda: self.told.count(name) >= count, name)

    async def speak(self, hz: float) -> str:
        """Publishes a tone; returns the track's sid."""
        voice = rtc.AudioSource(RATE, 1)
        self._closing.append(voice.aclose)
        track = rtc.LocalAudioTrack.create_audio_track("voice", voice)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await self.room.local_participant.publish_track(track, options)

        async def sound() -> None:
            at = 0
            while True:
                wave = 8000 * np.sin(2 * np.pi * hz * (np.arange(FRAME) + at) / RATE)
                at += FRAME
                await voice.capture_frame(rtc.AudioFrame(wave.astype(np.int16).tobytes(), RATE, 1, FRAME))

        self._keep(sound())
        return publication.sid

    async def show(self, *, width: int = 320, height: int = 180, simulcast: bool = False) -> str:
        """Publishes a picture that changes; returns the track's sid."""
        camera = rtc.VideoSource(width, height)
        self._closing.append(camera.aclose)
        track = rtc.LocalVideoTrack.create_video_track("camera", camera)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=simulcast)
        publication = await self.room.local_participant.publish_track(track, options)

        async def film() -> None:
            number = 0
            while True:
                number += 1
                picture = np.full((height, width, 4), (number * 5) % 256, dtype=np.uint8)
                frame = rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, picture.tobytes())
                camera.capture_frame(frame)
                await asyncio.sleep(1 / 20)

        self._keep(film())
        return publication.sid

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.room.disconnect()
        for close in self._closing:
            await close()

    def _keep(self, work) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _noting(self, name: str) -> Callable[..., None]:
        def note(*_: object) -> None:
            self.told.append(name)
            self._notify()

        return note

    def _notify(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        self._keep(notify())

    def _on_data(self, packet: rtc.DataPacket) -> None:
        self.data.append((packet.participant.identity if packet.participant else "", packet.data))
        self._notify()

    def _on_track(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        is_sound = track.kind == rtc.TrackKind.KIND_AUDIO
        self._keep((self._listen if is_sound else self._watch)(track, participant.identity))

    async def _listen(self, track: rtc.Track, identity: str) -> None:
        """Keeps the newest tone in ``heard``: the strongest frequency of each stretch of loud frames."""
        loud: list[np.ndarray] = []
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=100)
        self._closing.append(stream.aclose)
        async for event in stream:
            samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(float)
            if np.sqrt((samples * samples).mean()) < 200:
                continue
            loud.append(samples)
            if len(loud) == SOUND_FRAMES:
                wave = np.concatenate(loud) * np.hanning(sum(map(len, loud)))
                loud.clear()
                spectrum = np.abs(np.fft.rfft(wave))
                self.heard[identity] = float(np.fft.rfftfreq(len(wave), 1 / RATE)[spectrum.argmax()])
                self._notify()

    async def _watch(self, track: rtc.Track, identity: str) -> None:
        stream = rtc.VideoStream(track)
        self._closing.append(stream.aclose)
        async for _ in stream:
            self.frames[identity] = self.frames.get(identity, 0) + 1
            self._notify()


@asynccontextmanager
async def joined(
    server: LiveKitServer,
    identity: str,
    room: str = "lab",
    *,
    single: bool = True,
    url: str = "",
    grants: VideoGrants | None = None,
    auto_subscribe: bool = True,
) -> AsyncIterator[Client]:
    """A client that is in the room, and leaves it at the end.

    :param single: whether it has one peer connection (the protocol's version 1) or two (version 0).
    """
    client = Client(identity)
    options = rtc.RoomOptions(single_peer_connection=single, auto_subscribe=auto_subscribe)
    await client.room.connect(url or server.url, server.token(identity, room, grants), options)
    try:
        yield client
    finally:
        await client.close()


def is_tone(heard: float | None, hz: float) -> bool:
    """Whether a tone was recognized as one; the client's clock is a little off under load."""
    return heard is not None and abs(heard - hz) < 60


class Cable:
    """A TCP proxy in front of a server, that can be cut: the sockets through it are, and media is not."""

    def __init__(self, url: str) -> None:
        host, _, port = url.rpartition("//")[2].partition(":")
        self._target = (host, int(port))
        self._pipes: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        for pipe in tuple(self._pipes):
            pipe.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._pipes |= {writer, far_writer}
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer), return_exceptions=True)
        finally:
            for pipe in (writer, far_writer):
                pipe.transport.abort()
                self._pipes.discard(pipe)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()
