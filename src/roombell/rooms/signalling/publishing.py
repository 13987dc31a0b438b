"""What a participant publishes: which announced track is the media in which section."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from livekit.protocol import models

from roombell.rooms.media.codecs import Codec
from roombell.rooms.media.forwarding import Source
from roombell.rooms.media.peer import Published


class Bound(msgspec.Struct):
    """A track and the section that its media comes in."""

    track_sid: str
    client_id: str
    """What the client calls the track in its offers."""
    source: Source


class Publishing:
    """Brings together what comes apart: a track is announced, a section is offered, media arrives.

    :param on_live: called with a track's sid, its source, its codec and its mid when the first packet has come.
    :param on_ended: called with the sid of a track whose section the client has given up.
    """

    def __init__(self, on_live: Callable[[str, Source, Codec, str], None], on_ended: Callable[[str], None]) -> None:
        self._on_live = on_live
        self._on_ended = on_ended
        self._announced: dict[str, models.TrackInfo] = {}
        self._bound: dict[str, Bound] = {}
        self._unclaimed: dict[str, Published] = {}

    @property
    def tracks(self) -> tuple[str, ...]:
        """The sids of the tracks that have a section."""
        return tuple(bound.track_sid for bound in self._bound.values())

    def announce(self, client_id: str, track: models.TrackInfo) -> None:
        """A track may come, under the name that the client has for it."""
        self._announced[client_id] = track
        for published in tuple(self._unclaimed.values()):
            self._claim(published)

    def offered(self, published: Iterable[Published]) -> None:
        """The sections in which the client sends, by its newest offer."""
        by_mid = {one.mid: one for one in published}
        for mid, bound in tuple(self._bound.items()):
            now = by_mid.get(mid)
            if now is None or (now.track_id != bound.client_id and now.track_id in self._announced):
                self._release(mid)
                self._on_ended(bound.track_sid)
        self._unclaimed = {mid: one for mid, one in by_mid.items() if mid not in self._bound}
        for one in tuple(self._unclaimed.values()):
            self._claim(one)

    def mute(self, track_sid: str, *, muted: bool) -> None:
        """Lets nothing of a track through while it is muted, also if its client goes on sending."""
        for bound in self._bound.values():
            if bound.track_sid == track_sid:
                bound.source.is_muted = muted

    def drop(self, track_sid: str) -> None:
        """The track is gone, whatever the client sends."""
        for client_id, track in tuple(self._announced.items()):
            if track.sid == track_sid:
                del self._announced[client_id]
        for mid, bound in tuple(self._bound.items()):
            if bound.track_sid == track_sid:
                self._release(mid)

    def close(self) -> None:
        for mid in tuple(self._bound):
            self._release(mid)

    def _claim(self, published: Published) -> None:
        client_id = self._fitting(published)
        if client_id is None:
            return
        track, source = self._announced.pop(client_id), published.source
        self._unclaimed.pop(published.mid, None)
        self._bound[published.mid] = Bound(track.sid, published.track_id, source)
        source.begin()
        source.on_first = lambda codec: self._on_live(track.sid, source, codec, published.mid)

    def _fitting(self, published: Published) -> str | None:
        """By the client's name for it, else the first of its kind: Firefox has other names in its offers."""
        if published.track_id in self._announced:
            return published.track_id
        kind = models.AUDIO if published.kind == "audio" else models.VIDEO
        return next((client_id for client_id, track in self._announced.items() if track.type == kind), None)

    def _release(self, mid: str) -> None:
        bound = self._bound.pop(mid)
        bound.source.begin()
        bound.source.on_first = lambda _: None
