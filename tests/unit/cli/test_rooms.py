"""`roombell rooms`: a room server in a process of its own, and scenarios as a user plays them."""

from __future__ import annotations

import signal
import time

import aiohttp
import pytest
from livekit import api
from livekit.protocol import egress, models

from roombell.cli.exits import ExitCode
from roombell.cli.rooms_play import _Pace
from roombell.receiver import Receiver
from roombell.rooms.play.shipped import shipped_names, shipped_text
from roombell.signing import AccessClaims, KeyRing, VideoGrants
from roombell.testing import virtual_time
from roombell.testing.behaviours import reply
from roombell.testing.endpoint import ScriptedEndpoint

SECRET = "a-secret-of-at-least-thirty-two-bytes"
SHORT = "room: demo\nsteps:\n  - join: alice\n  - {after: 1h, leave: alice}\n"


async def test_the_scenarios_are_listed_and_shown(cli):
    listed = (await cli("rooms", "scenarios")).out
    assert [line.split()[0] for line in listed.splitlines()] == list(shipped_names())
    assert (await cli("rooms", "scenarios", "--show", "late-left")).out == shipped_text("late-left")
    unknown = await cli("rooms", "scenarios", "--show", "late")
    assert unknown.code == 2
    assert "There is no scenario 'late'; there is: aborted-after-connected" in unknown.err


async def test_a_scenario_is_played_without_waiting_and_every_webhook_arrives_signed_and_in_order(cli, tmp_path):
    (tmp_path / "call.yaml").write_text(SHORT)
    async with ScriptedEndpoint() as endpoint:
        ended = await cli("rooms", "play", "call.yaml", "--virtual", "--to", endpoint.url, "--json")
        assert ended.code == 0
        types = ["room_started", "participant_joined", "participant_left", "room_finished"]
        receiver = Receiver(keys={"devkey": "secret"})
        received = [receiver.receive(one.body, one.header("Authorization")) for one in endpoint.requests]
        assert [one.type for one in received] == types
        assert received[2].created_at - received[1].created_at == 3600
    told = [one["event"] for one in ended.records if one["record"] == "event"]
    assert told == types
    assert [one["outcome"] for one in ended.records if one["record"] == "delivery"] == ["delivered"] * 4
    assert ended.records[-1] == {"record": "summary", "events": 4, "delivered": 4, "failed": 0}


async def test_a_shipped_scenario_is_shown_to_a_person(cli):
    ended = await cli("rooms", "play", "call", "--virtual")
    assert ended.code == 0
    assert "participant_joined              call  alice" in ended.out
    assert ended.out.splitlines()[-1] == "18 events."


async def test_speed_makes_a_scenario_as_much_faster(cli, tmp_path):
    (tmp_path / "call.yaml").write_text(SHORT)
    ended = await cli("rooms", "play", "call.yaml", "--speed", "36000", "--json")
    assert ended.code == 0
    assert "3,600 s in 0 s" in ended.err
    assert len(ended.records) == 5


def test_the_pace_is_the_scenarios_time_divided_by_the_speed(monkeypatch: pytest.MonkeyPatch):
    slept: list[float] = []

    async def main() -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        monkeypatch.setattr("roombell.cli.rooms_play.time.monotonic", loop.time)
        pace = _Pace(1_000_000, 10.0)
        for at_ms in (1_000_000, 1_060_000, 1_030_000, 1_120_000):
            await pace.until(at_ms)
            slept.append(loop.time())

    virtual_time.run(main())
    assert slept == pytest.approx([0.0, 6.0, 6.0, 12.0])


async def test_an_endpoint_that_gives_up_fails_the_command(cli, tmp_path):
    (tmp_path / "call.yaml").write_text(SHORT)
    async with ScriptedEndpoint([reply(200), reply(410), reply(200)]) as endpoint:
        ended = await cli("rooms", "play", "call.yaml", "--virtual", "--to", endpoint.url)
    assert ended.code == 1
    assert "not delivered participant_joined" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("play",), 2, "Missing argument"),
        (("play", "nothing"), 2, "There is no file and no scenario 'nothing'. To see the scenarios: roombell rooms"),
        (("play", "missing.yaml"), 3, "missing.yaml: the file cannot be read"),
        (("play", "bad.yaml", "--virtual"), 3, "bad.yaml:2: steps[0]: nothing here says what happens; did you mean"),
        (("play", "late.yaml", "--virtual"), 3, "late.yaml:2: steps[0]: alice is not in room demo at that time."),
        (("play", "call", "--speed", "0"), 2, "--speed"),
        (("play", "call", "--to", "app.example.com"), 2, "http"),
        (("play", "call", "--key", "other"), 2, "There is no secret for API key 'other'"),
        (("--port", "70000"), 2, "--port"),
        (("--webhook", "ftp://example.com"), 2, "http"),
    ],
)
async def test_first_day_mistakes_are_told_in_a_sentence(cli, tmp_path, arguments, code, said):
    (tmp_path / "bad.yaml").write_text("steps:\n  - jion: alice\n")
    (tmp_path / "late.yaml").write_text("steps:\n  - leave: alice\n")
    ended = await cli("rooms", *arguments)
    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err


async def test_the_server_takes_calls_posts_events_and_ends_every_room_when_it_stops(start):
    async with ScriptedEndpoint() as app, ScriptedEndpoint() as own:
        keys = ("--key", "APItest", "--secret", SECRET)
        server = await start("rooms", "--port", "0", "--webhook", app.url, *keys)
        url = await server.url()
        async with api.LiveKitAPI(url, "APItest", SECRET) as lk:
            await lk.room.create_room(api.CreateRoomRequest(name="demo"))
            hook = models.WebhookConfig(url=own.url, signing_key="APItest")
            file = api.EncodedFileOutput(filepath="roombell-fail/a.mp4")
            recording = await lk.egress.start_room_composite_egress(
                api.RoomCompositeEgressRequest(room_name="demo", file_outputs=[file], webhooks=[hook])
            )
            received = await own.wait_for(2)
        assert [one.event.type for one in received] == ["egress_started", "egress_ended"]
        receiver = Receiver(keys={"APItest": SECRET})
        for one in received:
            assert receiver.receive(one.body, one.header("Authorization")).egress_id == recording.egress_id
        assert received[1].event.message.egress_info.status == egress.EGRESS_FAILED
        assert await server.stop(signal.SIGINT) == 130
        types = [one.event.type for one in app.requests]
        assert sorted(types) == ["egress_ended", "egress_started", "room_finished", "room_started"]
        assert server.lines[-1] == "4 events, 6 delivered, 0 given up."


async def test_a_port_that_is_taken_is_told_with_the_mend(start):
    server = await start("rooms", "--port", "0")
    port = (await server.url()).rpartition(":")[2]
    other = await start("rooms", "--port", port)
    assert await other.ended() == 5
    assert "--port" in other.lines[-1]
    assert await server.stop(signal.SIGTERM) == 0


async def test_livekits_own_configuration_says_who_may_call_and_where_events_go(start, tmp_path):
    async with ScriptedEndpoint() as app:
        path = tmp_path / "livekit.yaml"
        path.write_text(
            "port: 7880\nrtc: {tcp_port: 7881}\nkeys: {APIown: a-secret-of-at-least-thirty-two-bytes}\n"
            f"webhook: {{api_key: APIown, urls: ['{app.url}']}}\n"
        )
        server = await start("rooms", "--port", "0", "--config", str(path))
        url = await server.url()
        async with api.LiveKitAPI(url, "APIown", "a-secret-of-at-least-thirty-two-bytes") as lk:
            await lk.room.create_room(api.CreateRoomRequest(name="demo"))
            await app.wait_for(1)
        assert "a-secret" not in "\n".join(server.lines)
        assert await server.stop() == 0


async def test_the_rooms_of_serve_dev_deliver_what_a_recording_names_too(start):
    async with ScriptedEndpoint() as own:
        service = await start("serve", "--dev", "--port", "0", "--rooms-port", "0")
        port = (await service.until(r"ws://127\.0\.0\.1:(\d+)"))[1]
        claims = AccessClaims(video=VideoGrants(room_record=True))
        token = KeyRing({"devkey": "secret"}).sign_access(claims, api_key="devkey", now=time.time(), life_s=60)
        request = {
            "url": "https://example.com",
            "fileOutputs": [{"filepath": "roombell-fail"}],
            "webhooks": [{"url": own.url}],
        }
        async with aiohttp.ClientSession() as client:
            url = f"http://127.0.0.1:{port}/twirp/livekit.Egress/StartWebEgress"
            async with client.post(url, json=request, headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == 200, await answer.text()
        received = await own.wait_for(2)
        assert [one.event.type for one in received] == ["egress_started", "egress_ended"]
        assert await service.stop() == 0


async def test_the_end_of_the_rooms_is_shown_by_serve_dev_before_it_stops(start, tmp_path):
    (tmp_path / "keys.yaml").write_text(f"keys: {{APItest: {SECRET}}}\nwebhook: {{api_key: APItest}}\n")
    config = str(tmp_path / "keys.yaml")
    service = await start("serve", "--dev", "--config", config, "--port", "0", "--rooms-port", "0")
    port = (await service.until(r"ws://127\.0\.0\.1:(\d+)"))[1]
    async with api.LiveKitAPI(f"http://127.0.0.1:{port}", "APItest", SECRET) as lk:
        await lk.room.create_room(api.CreateRoomRequest(name="demo"))
    await service.until("room_started")
    assert await service.stop(signal.SIGINT) == 130
    assert any("room_finished" in line for line in service.lines), service.lines


@pytest.mark.parametrize("options", [("--rooms-port", "7880"), ("--no-rooms",)])
async def test_options_about_rooms_are_refused_where_there_are_none(cli, options):
    ended = await cli("serve", *options)
    assert ended.code == ExitCode.USAGE
    assert f"{options[0]} goes with --dev" in ended.err
