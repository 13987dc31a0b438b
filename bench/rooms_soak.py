"""Eight participants in one room for minutes, coming and going, dropping their sockets, beginning anew.

``python -m bench rooms-soak --minutes 10``. The server is a process of its own, which tells what happens and what it
holds; it fails if somebody who joined never left, or if tasks, sockets, threads or memory grow.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import psutil
from livekit import rtc

from roombell.rooms.effects import Happened
from roombell.rooms.server import RoomServer
from roombell.rooms.threaded import TEST_KEYS
from roombell.signing import AccessClaims, KeyRing, VideoGrants

PARTICIPANTS = 8
STAY_S = (4.0, 20.0)
WARM_UP_S = 30.0
STATS_INTERVAL_S = 5.0
GROWTH_BYTES_MAX = 40_000_000
RATE = 48_000


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench rooms-soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve())
        return 0
    return asyncio.run(soak(options.minutes * 60))


async def serve() -> None:
    """The server's process: events and figures as JSON lines, until standard input ends."""

    def tell(**what: object) -> None:
        print(json.dumps(what), flush=True)

    def on_event(happened: Happened) -> None:
        event = happened.event
        tell(event=event.type, sid=event.participant_sid, identity=event.participant_identity)

    me = psutil.Process()
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with RoomServer(events=on_event, keys=TEST_KEYS, port=0, media_addresses=["127.0.0.1"]) as server:
        tell(url=server.url)
        while not ended.done():
            gc.collect()
            tell(
                tasks=len(asyncio.all_tasks()),
                files=me.num_fds(),
                threads=me.num_threads(),
                rss_bytes=me.memory_info().rss,
                cpu_s=sum(me.cpu_times()[:2]),
                connected=server.connected,
            )
            await asyncio.wait([ended], timeout=STATS_INTERVAL_S)


class Watch:
    """What the server told."""

    def __init__(self) -> None:
        self.url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.joined: set[str] = set()
        self.left: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.figures: list[dict[str, float]] = []

    async def read(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            told = json.loads(line)
            if "url" in told:
                self.url.set_result(told["url"])
            elif "tasks" in told:
                self.figures.append({"at_s": time.monotonic()} | told)
            else:
                self.take(told)

    def take(self, told: dict[str, str]) -> None:
        self.events[told["event"]] += 1
        if told["event"] == "participant_joined":
            self.joined.add(told["sid"])
        if told["event"] == "participant_left":
            self.left[told["sid"]] += 1


async def soak(seconds: float) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench", "rooms-soak", "--serve",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    watch = Watch()
    reading = asyncio.create_task(watch.read(process.stdout))
    url = (await watch.url).replace("http", "ws")
    end_s = time.monotonic() + seconds
    await asyncio.gather(*(participate(url, f"p{number}", end_s) for number in range(PARTICIPANTS)))
    quiet = await figures_when_empty(watch)
    process.stdin.close()
    await process.wait()
    await reading
    return report(watch, quiet)


async def participate(url: str, identity: str, end_s: float) -> None:
    """Joins again and again."""
    while time.monotonic() < end_s:
        with suppress(rtc.ConnectError):
            await visit(url, identity, min(random.uniform(*STAY_S), max(1.0, end_s - time.monotonic())))


async def visit(url: str, identity: str, stay_s: float) -> None:
    claims = AccessClaims(sub=identity, video=VideoGrants(room_join=True, room="soak"))
    token = KeyRing(TEST_KEYS).sign_access(claims, api_key=next(iter(TEST_KEYS)), now=time.time(), life_s=3600)
    room = rtc.Room()
    listening: set[asyncio.Task[None]] = set()

    @room.on("track_subscribed")
    def _on_track(track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            listening.add(asyncio.ensure_future(pull(track)))

    await room.connect(url, token, rtc.RoomOptions(single_peer_connection=random.random() < 0.5))
    voice = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("voice", voice)
    await room.local_participant.publish_track(track)
    speaking = asyncio.ensure_future(speak(voice))
    await asyncio.sleep(stay_s / 2)
    await room.local_participant.publish_data(b"x" * 1000, reliable=True)
    luck = random.random()
    if luck < 0.2:
        await room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_SIGNAL_RECONNECT)
    elif luck < 0.3:
        await room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_MIGRATION)
    await asyncio.sleep(stay_s / 2)
    for task in (speaking, *listening):
        task.cancel()
    await asyncio.gather(speaking, *listening, return_exceptions=True)
    await room.disconnect()


async def speak(voice: rtc.AudioSource) -> None:
    wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(1920) / RATE)).astype(np.int16).tobytes()
    while True:
        await voice.capture_frame(rtc.AudioFrame(wave, RATE, 1, 1920))


async def pull(track: rtc.Track) -> None:
    async for _ in rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=100):
        pass


async def figures_when_empty(watch: Watch) -> dict[str, float]:
    """What the server holds when everybody has left."""
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        seen = len(watch.figures)
        while len(watch.figures) == seen:
            await asyncio.sleep(0.5)
        if watch.figures[-1]["connected"] == 0 and watch.joined <= set(watch.left):
            return watch.figures[-1]
    return watch.figures[-1]


def report(watch: Watch, quiet: dict[str, float]) -> int:
    first = watch.figures[0]
    warm = next((one for one in watch.figures if one["at_s"] - first["at_s"] > WARM_UP_S), watch.figures[-1])
    last_s = watch.figures[-1]["at_s"] - first["at_s"]
    print(f"{last_s:.0f} s, {len(watch.joined)} joins, {dict(sorted(watch.events.items()))}")
    print(f"processor: {(quiet['cpu_s'] - first['cpu_s']) / last_s * 100:.1f} % of one core")
    for name in ("tasks", "files", "threads", "rss_bytes", "connected"):
        most = max(one[name] for one in watch.figures)
        row = {"start": first[name], "warm": warm[name], "most": most, "end": quiet[name]}
        print(f"{name:<10}", *(f"{when} {value:>12,.0f} " for when, value in row.items()))
    faults = [
        f"{len(watch.joined - set(watch.left))} who joined never left" if watch.joined - set(watch.left) else "",
        "somebody left twice" if max(watch.left.values(), default=0) > 1 else "",
        *(f"{name} grew" for name in ("tasks", "files", "connected") if quiet[name] > first[name]),
        "memory grew" if quiet["rss_bytes"] - warm["rss_bytes"] > GROWTH_BYTES_MAX else "",
    ]
    found = [fault for fault in faults if fault]
    print("FAILED: " + "; ".join(found) if found else "PASSED: everybody who joined has left, and nothing grew")
    return 1 if found else 0
