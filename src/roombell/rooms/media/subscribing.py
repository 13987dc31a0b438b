"""What one participant is sent: which track in which section of its transport.

Sections are used again, since a session description only ever grows. Each track gets an SSRC of its own in them: a
client that knew an SSRC from before plays nothing that comes under it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from roombell.rooms.media.codecs import forwarded
from roombell.rooms.media.forwarding import Sink, Source
from roombell.rooms.media.negotiation import Planned, Stream
from roombell.rooms.media.sdp import SECTIONS_MAX, Description


class Wish(msgspec.Struct, frozen=True):
    """A track that the participant is to get."""

    kind: str
    source: Source
    stream_id: str
    track_id: str


class Slot:
    """A section that media can be sent in."""

    def __init__(self, mid: str, kind: str) -> None:
        self.mid = mid
        self.kind = kind
        self.wish: Wish | None = None
        self.sink: Sink | None = None
        self.is_free = True
        """Nothing is sent in it, and the client knows. One that is filled again before it was empty to the client has
        no new track for it."""


class Sinks(Protocol):
    """Where packets go out."""

    def new_sink(self, kind: str) -> Sink:
        """A sink with an SSRC of its own."""

    def drop_sink(self, sink: Sink) -> None:
        """Nothing is sent by it any more."""


class Subscriptions:
    """The tracks that a participant gets, and where.

    :param sinks: the transport that they go out by.
    :param cname: what joins the participant's streams.
    :param now_s: the event loop's clock.
    """

    def __init__(self, sinks: Sinks, cname: str, now_s: Callable[[], float]) -> None:
        self._sinks = sinks
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

    @property
    def are_placed(self) -> bool:
        """Whether every track that is wanted has a section."""
        return not self._waiting()

    def missing(self, kind: str) -> int:
        """How many sections of the kind are lacking."""
        free = sum(slot.is_free and slot.kind == kind for slot in self._slots.values())
        return max(0, sum(wish.kind == kind for wish in self._waiting()) - free)

    def add(self, wish: Wish) -> None:
        """Wants a track; it gets a section by ``place_in`` or ``place``."""
        self._wishes[wish.track_id] = wish

    def remove(self, track_id: str) -> bool:
        """Wants it no more. Whether it was wanted."""
        slot = self._slot_of(track_id)
        if slot is not None and slot.sink is not None:
            slot.sink.disconnect()
            self._sinks.drop_sink(slot.sink)
            slot.wish = slot.sink = None
        self._paused.discard(track_id)
        return self._wishes.pop(track_id, None) is not None

    def pause(self, track_id: str, *, is_paused: bool) -> None:
        """Holds a track back, or lets it come again."""
        if track_id not in self._wishes:
            return
        (self._paused.add if is_paused else self._paused.discard)(track_id)
        slot = self._slot_of(track_id)
        if slot is not None and slot.sink is not None:
            slot.sink.pause(is_paused=is_paused, now_s=self._now_s())

    def place_in(self, offer: Description) -> None:
        """Gives what waits the sections of a client's offer in which it is ready to receive."""
        for section in offer.sections:
            is_new = section.mid not in self._slots and len(self._slots) < SECTIONS_MAX
            if section.receives and section.kind in ("audio", "video") and is_new:
                self._slots[section.mid] = Slot(section.mid, section.kind)
        self._fill()
        self.use_codecs(offer)

    def place(self) -> None:
        """Gives what waits sections of our own, new ones where none is free."""
        self._fill()
        for wish in self._waiting():
            mid = f"{len(self._slots) + 1}"
            self._slots[mid] = slot = Slot(mid, wish.kind)
            self._put(wish, slot)

    def use_codecs(self, description: Description) -> None:
        """Takes from the client's description what it can decode, and begins to send what has its section."""
        by_mid = {section.mid: section for section in description.sections}
        for slot in self._slots.values():
            sink, wish, section = slot.sink, slot.wish, by_mid.get(slot.mid)
            if sink is None or wish is None:
                continue
            if section is None or not section.receives:
                sink.disconnect()
                continue
            sink.use_codecs(forwarded(section.kind, section.codecs))
            if sink.source is not wish.source:
                sink.pause(is_paused=wish.track_id in self._paused, now_s=self._now_s())
                sink.connect(wish.source, self._now_s())

    def agree(self) -> Mapping[str, Stream]:
        """What is sent, by mid, to be told to the client; sections that are empty by that are free from now on."""
        for slot in self._slots.values():
            slot.is_free = slot.wish is None
        return {
            slot.mid: Stream(slot.sink.ssrc, self._cname, slot.wish.stream_id, slot.wish.track_id)
            for slot in self._slots.values()
            if slot.wish is not None and slot.sink is not None
        }

    def planned(self) -> tuple[Planned, ...]:
        """The sections of an offer of ours."""
        streams = self.agree()
        return tuple(Planned(slot.mid, slot.kind, streams.get(slot.mid)) for slot in self._slots.values())

    def _fill(self) -> None:
        for wish in self._waiting():
            free = (slot for slot in self._slots.values() if slot.is_free and slot.kind == wish.kind)
            slot = next(free, None)
            if slot is not None:
                self._put(wish, slot)

    def _put(self, wish: Wish, slot: Slot) -> None:
        slot.wish, slot.sink, slot.is_free = wish, self._sinks.new_sink(wish.kind), False

    def _waiting(self) -> tuple[Wish, ...]:
        placed = {slot.wish.track_id for slot in self._slots.values() if slot.wish is not None}
        return tuple(wish for track_id, wish in self._wishes.items() if track_id not in placed)

    def _slot_of(self, track_id: str) -> Slot | None:
        return next(
            (slot for slot in self._slots.values() if slot.wish is not None and slot.wish.track_id == track_id), None
        )
