"""What a recording says it wrote: names when it runs, sizes when it is over. Nothing is written.

Sizes are made up, in proportion to the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from livekit.protocol import egress

from roombell.events.redact import redact
from roombell.rooms.outputs import Wanted, file_name, fill, location_of

NS_PER_MS: Final = 1_000_000
BYTES_PER_S: Final = 103_235
SEGMENT_S: Final = 6
IMAGE_INTERVAL_S: Final = 10


def begin(info: egress.EgressInfo, wanted: Wanted, words: Mapping[str, str], extension: str, now_ms: int) -> None:
    """The recording runs: its outputs have names, and its streams are live."""
    now_ns = now_ms * NS_PER_MS
    default = "{room_name}-{time}" if info.room_name else "{egress_id}-{time}"
    for file, _ in wanted.files:
        info.file_results.add(filename=file_name(file, default, extension, words), started_at=now_ns)
    for url in wanted.stream_urls:
        add_stream(info, url, now_ms)
    for segments, _ in wanted.segments:
        prefix = fill(segments.filename_prefix or default, words)
        playlist = fill(segments.playlist_name, words) or f"{prefix}.m3u8"
        live = fill(segments.live_playlist_name, words)
        info.segment_results.add(playlist_name=playlist, live_playlist_name=live, started_at=now_ns)
    for images, _ in wanted.images:
        info.image_results.add(filename_prefix=fill(images.filename_prefix or default, words), started_at=now_ns)
    _tell_deprecated(info, wanted)


def finish(info: egress.EgressInfo, wanted: Wanted, now_ms: int, *, is_empty: bool = False) -> None:
    """The recording is over, and what it wrote is stored."""
    for file, (_, stored) in zip(info.file_results, wanted.files, strict=False):
        file.ended_at, file.duration = _span(file.started_at, now_ms, is_empty=is_empty)
        file.size = _size(file.duration)
        file.location = location_of(file.filename, stored)
    for segments, (wish, where) in zip(info.segment_results, wanted.segments, strict=False):
        segments.ended_at, segments.duration = _span(segments.started_at, now_ms, is_empty=is_empty)
        segments.size = _size(segments.duration)
        segments.segment_count = _count(segments.duration, wish.segment_duration or SEGMENT_S)
        segments.playlist_location = location_of(segments.playlist_name, where)
        if segments.live_playlist_name:
            segments.live_playlist_location = location_of(segments.live_playlist_name, where)
    for images, (picture, _) in zip(info.image_results, wanted.images, strict=False):
        images.ended_at, lasted_ns = _span(images.started_at, now_ms, is_empty=is_empty)
        images.image_count = _count(lasted_ns, picture.capture_interval or IMAGE_INTERVAL_S)
    for stream in info.stream_results:
        if stream.status == egress.StreamInfo.ACTIVE:
            end_stream(stream, now_ms)
    _tell_deprecated(info, wanted)


def break_off(info: egress.EgressInfo, now_ms: int, error: str) -> None:
    """The recording broke: nothing is stored, and what was streamed ended with it."""
    for stream in info.stream_results:
        if stream.status == egress.StreamInfo.ACTIVE:
            end_stream(stream, now_ms, error)


def add_stream(info: egress.EgressInfo, url: str, now_ms: int) -> None:
    """One more stream is live. Its key is hidden, as LiveKit hides it."""
    stream = info.stream_results.add(url=url, started_at=now_ms * NS_PER_MS, status=egress.StreamInfo.ACTIVE)
    redact(stream)


def end_stream(stream: egress.StreamInfo, now_ms: int, error: str = "") -> None:
    """It ended, well or not."""
    stream.ended_at, stream.duration = _span(stream.started_at, now_ms)
    stream.status = egress.StreamInfo.FAILED if error else egress.StreamInfo.FINISHED
    stream.error = error


def live_stream(info: egress.EgressInfo, url: str) -> egress.StreamInfo | None:
    """The live stream to this address, which is told apart with its key hidden."""
    hidden = egress.StreamInfo(url=url)
    redact(hidden)
    live = (one for one in info.stream_results if one.status == egress.StreamInfo.ACTIVE)
    return next((one for one in live if one.url == hidden.url), None)


def _tell_deprecated(info: egress.EgressInfo, wanted: Wanted) -> None:
    """The result once more where older clients look for it, as LiveKit does for a recording of one output."""
    if wanted.count != 1:
        return
    if info.file_results:
        info.file.CopyFrom(info.file_results[0])
    elif info.segment_results:
        info.segments.CopyFrom(info.segment_results[0])
    elif info.stream_results:
        del info.stream.info[:]
        info.stream.info.extend(info.stream_results)


def _span(started_at_ns: int, now_ms: int, *, is_empty: bool = False) -> tuple[int, int]:
    """When it ended, and how long it lasted: nanoseconds."""
    now_ns = now_ms * NS_PER_MS
    return now_ns, 0 if is_empty else now_ns - started_at_ns


def _size(lasted_ns: int) -> int:
    return lasted_ns // NS_PER_MS * BYTES_PER_S // 1000


def _count(lasted_ns: int, every_s: int) -> int:
    """So many pieces, the last one included that is not full."""
    return -(-lasted_ns // (every_s * 1000 * NS_PER_MS))
