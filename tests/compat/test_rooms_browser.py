"""Rooms as LiveKit's browser client sees them: ``livekit-client`` in headless Chromium, on the development page."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from livekit import api
from livekit.api import TokenVerifier, WebhookReceiver
from livekit.protocol import models, webhook

from roombell.testing.endpoint import ScriptedEndpoint
from support.browser import NODE_FOLDER, Browser, Page, browser, need_browser
from support.service import API_KEY, COMMAND, SECRET

STATIC = Path(__file__).parents[2] / "src" / "roombell" / "service" / "dev_static"
START_S_MAX = 60.0
WAIT_S_MAX = 60.0

# The strength of each other participant's sound, as the Web Audio API measures it: Chromium's fake microphone beeps.
LISTEN = """(async () => {
  const track = [...room.remoteParticipants.values()][0].getTrackPublication('microphone').track.mediaStreamTrack;
  const audio = new AudioContext();
  const analyser = new AnalyserNode(audio, { fftSize: 4096 });
  audio.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  let loudest = { level: -Infinity, hz: 0 };
  for (const end = Date.now() + 15000; Date.now() < end && loudest.level < -50; ) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    analyser.getFloatFrequencyData(bins);
    bins.forEach((level, bin) => {
      if (level > loudest.level) loudest = { level, hz: (bin * audio.sampleRate) / analyser.fftSize };
    });
  }
  await audio.close();
  return loudest;
})()"""
PICTURES = """(async () => {
  const camera = [...room.remoteParticipants.values()][0]?.getTrackPublication('camera')?.track;
  const stats = camera?.receiver ? [...(await camera.receiver.getStats()).values()] : [];
  return stats.find((one) => one.type === 'inbound-rtp')?.framesDecoded ?? 0;
})()"""


class Site:
    """``roombell serve --dev`` with rooms, whose webhooks also go to an endpoint; and a browser to look at its page."""

    def __init__(self, url: str, rooms_url: str, endpoint: ScriptedEndpoint, chromium: Browser) -> None:
        self.url = url
        self.rooms_url = rooms_url
        self._endpoint = endpoint
        self._chromium = chromium

    async def open(self, identity: str) -> Page:
        return await self._chromium.open(f"{self.url}/?room=lab&identity={identity}")

    async def join(self, identity: str) -> Page:
        page = await self.open(identity)
        await page.evaluate("document.querySelector('#join button').click()")
        await page.wait_for("room !== null && room.state === 'connected'")
        await page.wait_for("room.localParticipant.trackPublications.size === 2")
        return page

    def messages(self) -> list[webhook.WebhookEvent]:
        """The webhooks that came, verified by LiveKit's own receiver."""
        receiver = WebhookReceiver(TokenVerifier(API_KEY, SECRET))
        return [
            receiver.receive(request.body.decode(), request.header("Authorization"))
            for request in self._endpoint.requests
        ]

    async def arrived(self, event: str, identity: str) -> webhook.WebhookEvent:
        """The webhook, when it has come."""
        async with asyncio.timeout(WAIT_S_MAX):
            while True:
                for message in self.messages():
                    if (message.event, message.participant.identity) == (event, identity):
                        return message
                await self._endpoint.wait_for(len(self._endpoint.requests) + 1, deadline_s=WAIT_S_MAX)

    def story_of(self, identity: str) -> list[str]:
        return [message.event for message in self.messages() if message.participant.identity == identity]


@asynccontextmanager
async def service(folder: Path, endpoint: ScriptedEndpoint) -> AsyncIterator[tuple[str, str]]:
    """The addresses of a service for development: its page's, and its rooms'."""
    config = folder / "roombell.yaml"
    document = {
        "port": 0,
        "bind_addresses": ["127.0.0.1"],
        "keys": {API_KEY: SECRET},
        "webhook": {"api_key": API_KEY, "urls": [endpoint.url]},
        "store": f"sqlite:///{folder}/roombell.db",
    }
    config.write_text(json.dumps(document))
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "--dev", "--config", str(config), "--rooms-port", "0",
        cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(START_S_MAX):
        while "Next" not in said:
            line = await process.stdout.readline()
            assert line, said
            said += line.decode()
    reading = asyncio.create_task(process.stdout.read())
    try:
        page, rooms = (re.search(rf"{name} +(\S+://\S+)", said) for name in ("Page", "Rooms"))
        assert page is not None, said
        assert rooms is not None, said
        yield page[1], rooms[1]
    finally:
        process.terminate()
        await process.wait()
        await reading


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    need_browser()
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(ScriptedEndpoint())
        url, rooms_url = await stack.enter_async_context(service(tmp_path, endpoint))
        yield Site(url, rooms_url, endpoint, await stack.enter_async_context(browser()))


async def test_two_browsers_hear_and_see_each_other_and_are_steered_by_the_server(site: Site) -> None:
    alice, bob = await asyncio.gather(site.join("alice"), site.join("bob"))
    for page in (alice, bob):
        await page.wait_for("document.querySelectorAll('.person video').length === 2")
        await page.wait_for(f"{PICTURES}.then((frames) => frames >= 30)")
        loudest = await page.evaluate(LISTEN)
        assert loudest["level"] >= -50
        assert 100 < loudest["hz"] < 1500

    async with api.LiveKitAPI(site.rooms_url, API_KEY, SECRET) as sdk:
        (voice,) = [
            track
            for track in (await sdk.room.get_participant(who("alice"))).tracks
            if track.source == models.MICROPHONE
        ]
        muting = api.MuteRoomTrackRequest(room="lab", identity="alice", track_sid=voice.sid, muted=True)
        await sdk.room.mute_published_track(muting)
        await alice.wait_for("!room.localParticipant.isMicrophoneEnabled")
        await bob.wait_for("!room.remoteParticipants.get('alice').isMicrophoneEnabled")
        await sdk.room.send_data(api.SendDataRequest(room="lab", data=b"x", kind=api.DataPacket.RELIABLE))
        await sdk.room.remove_participant(who("alice"))
    await alice.wait_for("room === null && document.querySelector('#trouble').textContent.includes('removed')")
    await bob.wait_for("document.querySelectorAll('.person').length === 1")

    left = await site.arrived("participant_left", "alice")
    assert left.participant.disconnect_reason == models.PARTICIPANT_REMOVED
    await bob.evaluate("document.querySelector('#leave').click()")
    left = await site.arrived("participant_left", "bob")
    assert left.participant.disconnect_reason == models.CLIENT_INITIATED
    for identity in ("alice", "bob"):
        story = site.story_of(identity)
        assert (story[0], story[-1]) == ("participant_joined", "participant_left")
        assert sorted(story[1:-1]) == ["track_published"] * 2 + ["track_unpublished"] * 2
    published = [message.track for message in site.messages() if message.event == "track_published"]
    assert {(track.source, track.mime_type) for track in published} == {
        (models.MICROPHONE, "audio/opus"),
        (models.CAMERA, "video/VP8"),
    }


async def test_a_browser_that_loses_its_socket_resumes_and_one_whose_session_is_gone_joins_anew(site: Site) -> None:
    alice, bob = await asyncio.gather(site.join("alice"), site.join("bob"))
    await bob.wait_for(f"{PICTURES}.then((frames) => frames >= 10)")
    await alice.evaluate("window.back = []; room.on('reconnected', () => window.back.push(1)); 1")
    await alice.evaluate("room.simulateScenario('signal-reconnect')")
    await alice.wait_for("window.back.length === 1 && room.state === 'connected'")
    before = await bob.evaluate(PICTURES)
    await bob.wait_for(f"{PICTURES}.then((frames) => frames >= {before + 20})")
    assert site.story_of("alice").count("participant_joined") == 1
    assert "participant_left" not in site.story_of("alice")

    await alice.evaluate("room.simulateScenario('full-reconnect')")
    await alice.wait_for("window.back.length === 2 && room.state === 'connected'")
    await bob.wait_for("document.querySelectorAll('.person video').length === 2")
    await bob.wait_for(f"{PICTURES}.then((frames) => frames >= 10)")
    await site.arrived("participant_left", "alice")
    story = site.story_of("alice")
    assert story.index("participant_left") < len(story) - 1 - story[::-1].index("participant_joined")


async def test_simulcast_a_second_publication_and_an_unpublication_work_in_the_browser(site: Site) -> None:
    alice, bob = await asyncio.gather(site.open("alice"), site.join("bob"))
    await alice.evaluate(
        "newRoom = () => { const made = new Room({ publishDefaults: { simulcast: true } });"
        " made.on('connectionStateChanged', showPeople); return made; }; 1"
    )
    await alice.evaluate("document.querySelector('#join button').click()")
    await alice.wait_for("room !== null && room.localParticipant.trackPublications.size === 2")
    await bob.wait_for(f"{PICTURES}.then((frames) => frames >= 20)")
    for _ in range(2):
        await alice.evaluate(
            "room.localParticipant.unpublishTrack(room.localParticipant.getTrackPublication('camera').track).then(() => 1)"
        )
        await bob.wait_for("!room.remoteParticipants.get('alice').getTrackPublication('camera')")
        await alice.evaluate("room.localParticipant.setCameraEnabled(true).then(() => 1)")
        await bob.wait_for("!!room.remoteParticipants.get('alice').getTrackPublication('camera')?.track")
        await bob.wait_for(f"{PICTURES}.then((frames) => frames >= 20)")


async def test_the_page_shows_events_with_deliveries_runs_no_foreign_script_and_says_why_one_may_not_join(
    site: Site,
) -> None:
    page = await site.join("<b>mallory</b>")
    joined = "[...document.querySelectorAll('#list > li')].find((row) => row.dataset.event === 'participant_joined')"
    await page.wait_for(f"({joined})?.querySelectorAll('.delivery.delivered').length === 2")
    assert "mallory" in await page.evaluate(f"({joined}).textContent")
    assert await page.evaluate("document.querySelectorAll('#list b b, .person b b').length") == 0
    await page.wait_for("document.querySelector('#feed').textContent === 'live'")
    assert [line for line in await page.told() if line.startswith("error")] == []
    refused = await page.evaluate("fetch('https://example.com/').then(() => 'went out', () => 'refused')")
    assert refused == "refused"
    answer = await page.evaluate("fetch('/dev/token?room=&identity=x').then((answer) => answer.status)")
    assert answer == 400

    page = await site.open("eve")
    await page.evaluate(
        "const real = fetch; window.fetch = async (url, ...rest) => String(url).startsWith('/dev/token')"
        " ? new Response(JSON.stringify({ token: 'forged', port: Number(new URL(window.rooms).port) }))"
        " : real(url, ...rest); window.rooms = " + json.dumps(site.rooms_url.replace("ws", "http")) + "; 1"
    )
    await page.evaluate("document.querySelector('#join button').click()")
    await page.wait_for("document.querySelector('#trouble').textContent.includes('invalid authorization token')")


def test_the_client_on_the_page_is_the_one_that_npm_has() -> None:
    published = NODE_FOLDER / "node_modules" / "livekit-client"
    if not published.exists():
        pytest.skip("the npm packages are not here")
    assert (STATIC / "livekit-client.umd.js").read_bytes() == (
        published / "dist" / "livekit-client.umd.js"
    ).read_bytes()
    assert (STATIC / "livekit-client.LICENSE").read_bytes() == (published / "LICENSE").read_bytes()


def who(identity: str) -> api.RoomParticipantIdentity:
    return api.RoomParticipantIdentity(room="lab", identity=identity)
