"""What a participant gets of the others: which of their tracks, by its wishes and theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from livekit.protocol import models, rtc

from roombell.rooms.media.forwarding import Source
from roombell.rooms.media.peer import Peer
from roombell.rooms.media.subscribing import Wish
from roombell.rooms.signalling.negotiating import Negotiator

_KINDS = {models.AUDIO: "audio", models.VIDEO: "video"}


class Receiving:
    """Follows the others' tracks as notices tell of them.

    :param find: the media of a track, if it has any.
    :param is_allowed: whether the publisher of a track lets this participant have it.
    :param auto: whether every track is wanted of which nothing else was said.
    """

    def __init__(
        self,
        peer: Peer,
        negotiator: Negotiator,
        find: Callable[[str], Source | None],
        is_allowed: Callable[[str, str], bool],
        *,
        auto: bool,
    ) -> None:
        self._peer = peer
        self._negotiator = negotiator
        self._find = find
        self._is_allowed = is_allowed
        self._auto = auto
        self._may_subscribe = True
        self._tracks: dict[str, dict[str, models.TrackInfo]] = {}
        """By the publisher's sid, then by their own."""
        self._wishes: dict[str, bool] = {}
        """What was said of single tracks."""

    def see(self, participants: Iterable[models.ParticipantInfo]) -> None:
        """Takes the newest state of others. Who is DISCONNECTED has no tracks any more."""
        for participant in participants:
            if participant.state == models.ParticipantInfo.DISCONNECTED:
                self._tracks.pop(participant.sid, None)
            else:
                self._tracks[participant.sid] = {track.sid: track for track in participant.tracks}
        self.review()

    def forget(self) -> None:
        """The participant is in another room."""
        self._tracks.clear()
        self._wishes.clear()
        self.review()

    def wish(self, track_sids: Iterable[str], *, subscribe: bool) -> None:
        """Says of single tracks whether they are wanted."""
        self._wishes.update(dict.fromkeys(track_sids, subscribe))
        known = {sid for tracks in self._tracks.values() for sid in tracks}
        if len(self._wishes) > len(known):
            self._wishes = {sid: wish for sid, wish in self._wishes.items() if sid in known}
        self.review()

    def permit(self, *, may_subscribe: bool) -> None:
        """Whether the participant may get anything."""
        self._may_subscribe = may_subscribe
        self.review()

    def set(self, settings: rtc.UpdateTrackSettings) -> None:
        """Holds tracks back that the client does not show."""
        for track_sid in settings.track_sids:
            self._peer.subscriptions.pause(track_sid, is_paused=settings.disabled)

    def review(self) -> None:
        """Compares what it gets with what it should get, and has the difference negotiated."""
        subscriptions = self._peer.subscriptions
        wanted = {
            track.sid: (publisher, track)
            for publisher, tracks in self._tracks.items()
            for track in tracks.values()
            if self._wants(publisher, track)
        }
        removed = [subscriptions.remove(sid) for sid in subscriptions.track_ids if sid not in wanted]
        added = [self._add(publisher, track) for publisher, track in wanted.values() if track.sid not in subscriptions]
        if any(removed) or any(added):
            self._negotiator.changed()

    def _wants(self, publisher: str, track: models.TrackInfo) -> bool:
        is_wanted = self._may_subscribe and self._wishes.get(track.sid, self._auto)
        return is_wanted and track.type in _KINDS and self._is_allowed(publisher, track.sid)

    def _add(self, publisher: str, track: models.TrackInfo) -> bool:
        """Whether there is media to be had: what a script publishes has none."""
        source = self._find(track.sid)
        if source is None:
            return False
        wish = Wish(_KINDS[track.type], source, f"{publisher}|{track.sid}", track.sid)
        self._peer.subscriptions.add(wish)
        return True
