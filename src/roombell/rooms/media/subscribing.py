"""What one participant is sent: which track in which section of its transport.

Sections are used again, since a session description only ever grows. Each keeps its sink and thereby its SSRC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from roombell.rooms.media.codecs import forwarded
from roombell.rooms.media.forwarding import Sink, Source
from roombell.rooms.media.negotiation import Planned, Stream
from roombell.rooms.media.sdp import Description


class Wish(msgspec.Struct, frozen=True):
    """A track that the participant is to get."""

    kind: str
    source: Source
    stream_id: str
    track_id: str


class Slot:
    """A section that media can be sent in."""

    def __init__(self, mid: str, sink: Sink) -> None:
        self.mid = mid
        self.sink = sink
        self.wish: Wish | None = None


class Subscriptions:
    """The tracks that a participant gets, and where.

    :param new_sink: makes a sink on the transport.
    :param cname: what joins the participant's streams.
    :param now_s: the event loop's clock.
    """

    def __init__(self, new_sink: Callable[[str], Sink], cname: str, now_s: Callable[[], float]) -> None:
        self._new_sink = new_sink
        self._cname = cname
        self._now_s = now_s
        self._slots: dict[str, Slot] = {}
        self._wishes: dict[str, Wish] = {}
        self._paused: set[str] = set()

    def __contains__(self, track_id: object) -> bool:
        return track_id in self._wishes

    @property
    def track_ids(self) -> tuple[str, ...]:
        return tuple(self._wishes)

    def add(self, wish: Wish) -> None:
        """Wants a track; it gets a section by ``place_in`` or ``place``."""
        self._wishes[wish.track_id] = wish

    def remove(self, track_id: str) -> bool:
        """Wants it no more. Whether it was wanted."""
        slot = self._slot_of(track_id)
        if slot is not None:
            slot.sink.disconnect()
            slot.wish = None
        self._paused.discard(track_id)
        return self._wishes.pop(track_id, None) is not None

    def pause(self, track_id: str, *, is_paused: bool) -> None:
        """Holds a track back, or lets it come again."""
        (self._paused.add if is_paused else self._paused.discard)(track_id)
        slot = self._slot_of(track_id)
        if slot is not None:
            slot.sink.pause(is_paused=is_paused, now_s=self._now_s())

    def missing(self, kind: str) -> int:
        """How many tracks of the kind have no section."""
        return sum(wish.kind == kind for wish in self._waiting())

    def place_in(self, offer: Description) -> None:
        """Gives what waits the sections of a client's offer in which it is ready to receive."""
        for section in offer.sections:
            if section.receives and section.kind in ("audio", "video") and section.mid not in self._slots:
                self._slots[section.mid] = Slot(section.mid, self._new_sink(section.kind))
        self._fill()
        self.use_codecs(offer)

    def place(self) -> None:
        """Gives what waits sections of our own, new ones where none is free."""
        self._fill()
        for wish in self._waiting():
            mid = f"{len(self._slots) + 1}"
            self._slots[mid] = slot = Slot(mid, self._new_sink(wish.kind))
            slot.wish = wish

    def use_codecs(self, description: Description) -> None:
        """Takes from the client's description what it can decode, and begins to send what has its section."""
        by_mid = {section.mid: section for section in description.sections}
        for slot in self._slots.values():
            section = by_mid.get(slot.mid)
            if section is None or not section.receives:
                slot.sink.disconnect()
                continue
            slot.sink.use_codecs(forwarded(section.kind, section.codecs))
            if slot.wish is not None and slot.sink.source is not slot.wish.source:
                slot.sink.pause(is_paused=slot.wish.track_id in self._paused, now_s=self._now_s())
                slot.sink.connect(slot.wish.source, self._now_s())

    def streams(self) -> Mapping[str, Stream]:
        """What is sent, by mid."""
        return {
            slot.mid: Stream(slot.sink.ssrc, self._cname, slot.wish.stream_id, slot.wish.track_id)
            for slot in self._slots.values()
            if slot.wish is not None
        }

    def planned(self) -> tuple[Planned, ...]:
        """The sections of an offer of ours."""
        streams = self.streams()
        return tuple(Planned(slot.mid, slot.sink.kind, streams.get(slot.mid)) for slot in self._slots.values())

    def _fill(self) -> None:
        for wish in self._waiting():
            free = (slot for slot in self._slots.values() if slot.wish is None and slot.sink.kind == wish.kind)
            slot = next(free, None)
            if slot is not None:
                slot.wish = wish

    def _waiting(self) -> tuple[Wish, ...]:
        placed = {slot.wish.track_id for slot in self._slots.values() if slot.wish is not None}
        return tuple(wish for track_id, wish in self._wishes.items() if track_id not in placed)

    def _slot_of(self, track_id: str) -> Slot | None:
        return next(
            (slot for slot in self._slots.values() if slot.wish is not None and slot.wish.track_id == track_id), None
        )
