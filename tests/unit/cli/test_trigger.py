"""`roombell trigger` against endpoints of every kind."""

from __future__ import annotations

import socket
import threading

import pytest
from livekit import api

from roombell.cli import trigger as trigger_module
from roombell.cli.sending import Arrivals
from roombell.config import Keys
from roombell.events import EVENT_TYPES, parse
from roombell.service.dev_page import Shown
from roombell.testing.behaviours import reply
from roombell.testing.endpoint import ScriptedEndpoint
from roombell.testing.payloads import sample
from support.commands import SECRET, write_config


async def test_a_call_arrives_in_order_and_the_official_receiver_accepts_it(cli):
    receiver = api.WebhookReceiver(api.TokenVerifier("APItest", SECRET))
    async with ScriptedEndpoint() as endpoint:
        ended = await cli(
            "trigger",
            "call",
            "--to",
            endpoint.url,
            "--room",
            "acme-1",
            "--identity",
            "carol",
            "--key",
            "APItest",
            "--secret",
            SECRET,
        )
    assert ended.code == 0, ended
    events = [receiver.receive(r.body.decode(), r.header("Authorization")) for r in endpoint.requests]
    assert [event.event for event in events][:2] == ["room_started", "participant_joined"]
    assert events[-1].event == "room_finished"
    assert len(events) == 15
    assert {event.room.name for event in events} == {"acme-1"}
    assert events[1].participant.identity == "carol"
    assert ended.out.endswith("15 sent, 15 accepted.\n")


async def test_what_is_sent_is_numbered_in_lanes_like_roombell_s_own(cli):
    async with ScriptedEndpoint() as endpoint:
        await cli("trigger", "call", "--to", endpoint.url)
    by_lane: dict[str, list[int]] = {}
    for request in endpoint.requests:
        by_lane.setdefault(request.lane, []).append(request.sequence)
    assert sorted(map(len, by_lane.values())) == [3, 12]
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_lane.values())


@pytest.mark.parametrize("event_type", EVENT_TYPES)
async def test_every_event_type_can_be_sent(cli, event_type):
    async with ScriptedEndpoint() as endpoint:
        ended = await cli("trigger", event_type, "--to", endpoint.url, "--json")
    assert ended.code == 0
    sent, summary = ended.records
    assert (sent["record"], sent["event"], sent["status"]) == ("sent", event_type, 200)
    assert sent["id"] == endpoint.requests[0].event_id
    assert summary == {
        "record": "summary", "events": 1, "sent": 1, "accepted": 1, "delivered": None, "in_order": None,
    }  # fmt: skip


async def test_count_sends_again_with_new_ids(cli):
    async with ScriptedEndpoint() as endpoint:
        await cli("trigger", "room_started", "--count", "3", "--to", endpoint.url, "--room", "demo")
    assert len({request.event_id for request in endpoint.requests}) == 3
    assert {request.event.room_name for request in endpoint.requests} == {"demo"}


async def test_a_refusal_is_told_in_the_endpoint_s_words_and_the_rest_is_sent_all_the_same(cli):
    refusal = reply(404, body=b'{"message": "no such \\u001b[31mroute"}')
    async with ScriptedEndpoint([reply(), refusal, reply()]) as endpoint:
        ended = await cli("trigger", "call", "--to", endpoint.url)
    assert ended.code == 1
    assert "no such \\x1b[31mroute" in ended.out
    assert "15 sent, 14 accepted." in ended.out


async def test_the_token_is_not_shown_even_where_the_endpoint_repeats_it(cli):
    async with ScriptedEndpoint(lambda r: reply(400, body=r.header("Authorization").encode())) as endpoint:
        ended = await cli("trigger", "room_started", "--to", endpoint.url)
    assert endpoint.requests[0].header("Authorization") not in ended.out + ended.err
    assert "[hidden]" in ended.out


async def test_an_endpoint_that_is_not_there_ends_the_run_with_what_to_do(cli):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ended = await cli("trigger", "call", "--to", f"http://127.0.0.1:{free.getsockname()[1]}/hook")
    assert ended.code == 5
    assert "refused the connection" in ended.err
    assert "Stopped after 1 of 15 events." in ended.out


async def test_without_a_service_on_this_machine_it_says_how_to_start_one(cli, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ROOMBELL_PORT", str(free.getsockname()[1]))
        ended = await cli("trigger", "room_started")
    assert ended.code == 5
    assert ended.err.endswith("Start the service in another terminal: roombell serve --dev\n")


@pytest.mark.parametrize("way", ["config", "options", "environment", "one of several"])
async def test_it_signs_with_the_key_it_is_given(cli, clean_place, monkeypatch, way):
    options = {
        "config": ["--config", str(write_config(clean_place / "c.yaml"))],
        "options": ["--key", "APItest", "--secret", SECRET],
        "environment": [],
        "one of several": ["--config", str(write_config(clean_place / "d.yaml", keys={"a": "b", "APItest": SECRET})),
                           "--key", "APItest"],
    }[way]  # fmt: skip
    if way == "environment":
        monkeypatch.setenv("LIVEKIT_API_KEY", "APItest")
        monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)
    async with ScriptedEndpoint() as endpoint:
        ended = await cli("trigger", "room_started", "--to", endpoint.url, *options)
    request = endpoint.requests[0]
    receiver = api.WebhookReceiver(api.TokenVerifier("APItest", SECRET))
    assert receiver.receive(request.body.decode(), request.header("Authorization")).event == "room_started"
    assert SECRET not in ended.out + ended.err


async def test_a_development_service_that_delivers_nothing_fails_the_run(cli, monkeypatch):
    monkeypatch.setattr(trigger_module, "QUIET_S_MAX", 0.0)

    def script(request):
        is_question = request.target == "/dev/deliveries"
        return reply(200, body=b'{"deliveries": []}' if is_question else b'{"id":"EV_1","duplicate":false}')

    async with ScriptedEndpoint(script) as endpoint:
        ended = await cli("trigger", "room_started", "--to", endpoint.url, "--json")
    assert ended.code == 1
    assert ended.records[-1] == {
        "record": "summary", "events": 1, "sent": 1, "accepted": 1, "delivered": 0, "in_order": True,
    }  # fmt: skip
    assert "the service's log says why" in ended.err


def test_arrivals_are_in_order_if_each_lane_s_are():
    sent = [parse(sample("track_published", room=room, id=f"EV_{n}")) for n, room in enumerate("abab")]

    def arrive(*numbers: int) -> bool:
        arrivals = Arrivals()
        shown = [Shown(1, verified=True, event_id=f"EV_{n}", lane=sent[n].ordering_key) for n in numbers]
        arrivals.take([*shown, *shown], {event.id for event in sent})
        assert len(arrivals.arrived) == len(numbers)
        return arrivals.in_order(sent)

    assert arrive(0, 1, 2, 3)
    assert arrive(1, 3, 0, 2)
    assert not arrive(2, 1, 0, 3)


async def test_an_endpoint_that_is_not_roombell_is_asked_nothing(cli):
    async with ScriptedEndpoint() as endpoint:
        await cli("trigger", "call", "--to", endpoint.url)
    assert {(request.method, request.target) for request in endpoint.requests} == {("POST", "/webhook")}


def test_arrivals_count_only_verified_events_of_this_run():
    arrivals = Arrivals()
    shown = [Shown(1, verified=False, error="no"), Shown(1, verified=True, event_id="EV_other")]
    arrivals.take(shown, {"EV_1"})
    assert arrivals.arrived == []


def test_keys_are_not_shown_by_their_representation():
    assert SECRET not in repr(Keys({"APItest": SECRET}))


def test_no_thread_is_left():
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("roombell")] == []
