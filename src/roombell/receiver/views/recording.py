"""A recording: an egress with its results in one form, whatever field of LiveKit's they came in."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from roombell.receiver.views.enums import EgressStatus, StreamStatus
from roombell.receiver.views.records import View, time_of_ns

ENDED: Final = frozenset(
    {
        EgressStatus.EGRESS_COMPLETE,
        EgressStatus.EGRESS_FAILED,
        EgressStatus.EGRESS_ABORTED,
        EgressStatus.EGRESS_LIMIT_REACHED,
    }
)
"""The statuses that nothing follows."""

_USER: Final = re.compile(r"(?<=://)[^/@\s]*@")
_QUERY: Final = re.compile(r"(?<=\?).+")
_STREAM_KEY: Final = re.compile(r"(?:(?<=[^/]/)|(?<=mux://)|(?<=twitch://))[^/?\s]+(?=$|[?\s])")


class RecordingSource(StrEnum):
    """What is recorded."""

    UNKNOWN = "unknown"
    ROOM_COMPOSITE = "room_composite"
    WEB = "web"
    PARTICIPANT = "participant"
    TRACK_COMPOSITE = "track_composite"
    TRACK = "track"
    REPLAY = "replay"
    EGRESS = "egress"
    """A request of LiveKit's second egress API, which says in its own fields what is recorded."""


class OutputKind(StrEnum):
    """What a recording makes."""

    FILE = "file"
    STREAM = "stream"
    SEGMENTS = "segments"
    IMAGES = "images"


class Output(View, frozen=True):
    """One result of a recording."""

    kind: OutputKind
    name: str = ""
    """The file's name, the playlist's name, the images' prefix, or the stream's address as LiveKit shows it."""
    location: str = ""
    """Where it was uploaded to; empty for a stream, and for what was not uploaded."""
    live_location: str = ""
    """Of segments: the playlist for those who follow while they are made."""
    started_ns: int = 0
    ended_ns: int = 0
    duration_ns: int = 0
    """0 where it is not known. Never negative."""
    size_bytes: int = 0
    count: int = 0
    """Of segments and images: how many."""
    stream_status: StreamStatus = StreamStatus.ACTIVE
    retries_count: int = 0
    error: str = ""

    @property
    def started_at(self) -> datetime | None:
        """When it began."""
        return time_of_ns(self.started_ns)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return time_of_ns(self.ended_ns)

    @property
    def duration(self) -> timedelta | None:
        """How long it is."""
        return timedelta(microseconds=self.duration_ns // 1000) if self.duration_ns else None

    def __rich_repr__(self) -> list[tuple[str, object]]:
        mask = masked_stream if self.kind == OutputKind.STREAM else masked_url
        return [
            (name, mask(value) if isinstance(value, str) and "://" in value else value)
            for name, value in super().__rich_repr__()
        ]


class Recording(View, frozen=True):
    """An egress."""

    egress_id: str = ""
    """Empty for one that LiveKit could not even launch."""
    room_name: str = ""
    room_sid: str = ""
    source: RecordingSource = RecordingSource.UNKNOWN
    status: EgressStatus = EgressStatus.EGRESS_STARTING
    started_ns: int = 0
    ended_ns: int = 0
    updated_ns: int = 0
    outputs: tuple[Output, ...] = ()
    error: str = ""
    error_code: int = 0
    details: str = ""
    manifest_location: str = ""
    backup_used: bool = False
    retries_count: int = 0
    warnings: tuple[str, ...] = ()
    """What LiveKit told and cannot be, as ``negative_duration`` (egress#809); the values here are mended."""

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.status in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it is over and there is something to keep: complete, or cut off at LiveKit's limit."""
        return self.status in {EgressStatus.EGRESS_COMPLETE, EgressStatus.EGRESS_LIMIT_REACHED}

    @property
    def failed(self) -> bool:
        """Whether it is over and came to nothing."""
        return self.ended and not self.succeeded

    @property
    def started_at(self) -> datetime | None:
        """When recording began; None while it is starting."""
        return time_of_ns(self.started_ns)

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""
        return time_of_ns(self.ended_ns)

    @property
    def updated_at(self) -> datetime | None:
        """When this was so."""
        return time_of_ns(self.updated_ns)

    @property
    def duration(self) -> timedelta | None:
        """From its start to its end; None where one is not told."""
        if not 0 < self.started_ns <= self.ended_ns:
            return None
        return timedelta(microseconds=(self.ended_ns - self.started_ns) // 1000)

    @property
    def files(self) -> tuple[Output, ...]:
        """The files among the outputs."""
        return self.of(OutputKind.FILE)

    @property
    def streams(self) -> tuple[Output, ...]:
        """The streams among the outputs."""
        return self.of(OutputKind.STREAM)

    def of(self, kind: OutputKind) -> tuple[Output, ...]:
        """The outputs of one kind."""
        return tuple(output for output in self.outputs if output.kind == kind)

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [
            (name, masked_url(self.manifest_location) if name == "manifest_location" else value)
            for name, value in super().__rich_repr__()
        ]


def masked_url(url: str) -> str:
    """``url`` without what may be a secret in it: user and password, and the query."""
    return _QUERY.sub("***", _USER.sub("***@", url))


def masked_stream(url: str) -> str:
    """As ``masked_url``, and without the stream key: the last part of the path; all of LiveKit's ``mux://KEY``."""
    return _STREAM_KEY.sub("***", masked_url(url))
