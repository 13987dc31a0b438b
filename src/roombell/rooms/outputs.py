"""What a recording's request asks to be written: the outputs of every kind of request, told alike.

File names and their templates, and the places of what is stored, are those of LiveKit's egress (``pkg/config`` and
``pkg/pipeline/sink/uploader`` of livekit/egress).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from livekit.protocol import egress

Encoded = (
    egress.RoomCompositeEgressRequest
    | egress.WebEgressRequest
    | egress.ParticipantEgressRequest
    | egress.TrackCompositeEgressRequest
)
Request = Encoded | egress.TrackEgressRequest | egress.StartEgressRequest
File = egress.EncodedFileOutput | egress.DirectFileOutput | egress.FileOutput
Stored = (
    egress.EncodedFileOutput
    | egress.DirectFileOutput
    | egress.SegmentedFileOutput
    | egress.ImageOutput
    | egress.StorageConfig
)
"""Whatever names a cloud storage, or none."""

_EXTENSIONS: Final = {egress.MP4: ".mp4", egress.OGG: ".ogg", egress.MP3: ".mp3"}
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,5}\Z")


class Wanted(msgspec.Struct, frozen=True):
    """The outputs of a request. Where each is stored stands beside it."""

    files: tuple[tuple[File, Stored], ...] = ()
    streams: tuple[egress.StreamOutput, ...] = ()
    segments: tuple[tuple[egress.SegmentedFileOutput, Stored], ...] = ()
    images: tuple[tuple[egress.ImageOutput, Stored], ...] = ()
    websocket_url: str = ""

    @property
    def count(self) -> int:
        """How many outputs there are."""
        lists = (self.files, self.streams, self.segments, self.images)
        return sum(len(one) for one in lists) + bool(self.websocket_url)

    @property
    def stream_urls(self) -> tuple[str, ...]:
        """Where the streams go."""
        named = [(*one.urls, *(place.url for place in one.destinations)) for one in self.streams]
        return tuple(url for urls in named for url in urls) + ((self.websocket_url,) if self.websocket_url else ())

    @property
    def texts(self) -> Iterator[str]:
        """Every path, prefix and address."""
        yield from (file.filepath for file, _ in self.files)
        yield from self.stream_urls
        for segments, _ in self.segments:
            yield from (segments.filename_prefix, segments.playlist_name)
        yield from (images.filename_prefix for images, _ in self.images)


def wanted_by(request: Request) -> Wanted:
    """The outputs of ``request``, be they in its lists or in its deprecated single field."""
    if isinstance(request, egress.StartEgressRequest):
        return _of_outputs(request)
    if isinstance(request, egress.TrackEgressRequest):
        files = ((request.file, request.file),) if request.HasField("file") else ()
        return Wanted(files=files, websocket_url=request.websocket_url)
    listed = Wanted(
        files=tuple((one, one) for one in request.file_outputs),
        streams=tuple(request.stream_outputs),
        segments=tuple((one, one) for one in request.segment_outputs),
        images=tuple((one, one) for one in request.image_outputs),
    )
    return listed if listed.count or isinstance(request, egress.ParticipantEgressRequest) else _single(request)


def _single(
    request: egress.RoomCompositeEgressRequest | egress.WebEgressRequest | egress.TrackCompositeEgressRequest,
) -> Wanted:
    match request.WhichOneof("output"):
        case "file":
            return Wanted(files=((request.file, request.file),))
        case "stream":
            return Wanted(streams=(request.stream,))
        case "segments":
            return Wanted(segments=((request.segments, request.segments),))
        case _:
            return Wanted()


def _of_outputs(request: egress.StartEgressRequest) -> Wanted:
    outputs = [(one, one.storage if one.HasField("storage") else request.storage) for one in request.outputs]
    return Wanted(
        files=tuple((one.file, stored) for one, stored in outputs if one.HasField("file")),
        streams=tuple(one.stream for one, _ in outputs if one.HasField("stream")),
        segments=tuple((one.segments, stored) for one, stored in outputs if one.HasField("segments")),
        images=tuple((one.images, stored) for one, stored in outputs if one.HasField("images")),
    )


def file_name(file: File, default: str, extension: str, words: Mapping[str, str]) -> str:
    """The path of a file: its template filled in, or ``default`` where it names none or only a folder."""
    kind = egress.DEFAULT_FILETYPE if isinstance(file, egress.DirectFileOutput) else file.file_type
    path = fill(file.filepath + (default if not file.filepath or file.filepath.endswith("/") else ""), words)
    return path if _SUFFIX.search(path) else path + _EXTENSIONS.get(kind, extension)


def fill(template: str, words: Mapping[str, str]) -> str:
    """``{room_name}`` and the like replaced by what they mean here; others stay."""
    for word, meaning in words.items():
        template = template.replace(f"{{{word}}}", meaning)
    return template


def time_words(now_ms: int) -> dict[str, str]:
    """What ``{time}`` and ``{utc}`` mean."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return {"time": now.strftime("%Y-%m-%dT%H%M%S"), "utc": now.strftime("%Y%m%d%H%M%S") + f"{now_ms % 1000:03}"}


def location_of(path: str, stored: Stored) -> str:
    """Where a file is found: an address in the cloud storage that is named, or the path itself."""
    key = path.lstrip("/")
    if stored.HasField("s3"):
        return _s3(stored.s3, key)
    if stored.HasField("gcp"):
        return f"https://{stored.gcp.bucket}.storage.googleapis.com/{key}"
    if stored.HasField("azure"):
        return f"https://{stored.azure.account_name}.blob.core.windows.net/{stored.azure.container_name}/{key}"
    if stored.HasField("aliOSS"):
        return f"https://{stored.aliOSS.bucket}.{stored.aliOSS.endpoint}/{key}"
    return path


def _s3(upload: egress.S3Upload, key: str) -> str:
    if upload.endpoint:
        return f"{upload.endpoint.rstrip('/')}/{upload.bucket}/{key}"
    return f"https://{upload.bucket}.s3.{upload.region or 'us-east-1'}.amazonaws.com/{key}"
