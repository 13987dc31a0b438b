"""Scenarios: what each step does, what a file with a mistake is told, and what the shipped ones show."""

from __future__ import annotations

import random

import msgspec
import pytest
from livekit.protocol import egress, models

from roombell.errors import ConfigError, UsageError
from roombell.rooms.play import Told, parse_scenario, play
from roombell.rooms.play.scenario import Action
from roombell.rooms.play.shipped import shipped, shipped_names
from support.rooms import START_MS


def played(text: str, seed: int = 1) -> list[Told]:
    scenario = parse_scenario(text, source="call.yaml")
    return list(play(scenario, start_ms=START_MS, token_bytes=random.Random(seed).randbytes))


def story(told: list[Told]) -> list[tuple[float, str]]:
    """When and what: ``(10.0, "participant_left alice")``."""
    return [
        ((one.at_ms - START_MS) / 1000, f"{one.happened.event.type} {one.happened.event.participant_identity}".strip())
        for one in told
    ]


def error_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        played(text)
    return str(caught.value)


def test_steps_take_place_at_their_times_and_rooms_end_by_themselves() -> None:
    told = played("""
        room: demo
        steps:
          - join: alice
          - {at: 5s, publish: microphone, by: alice}
          - {after: 5s, leave: alice}
    """)
    assert story(told) == [
        (0, "room_started"),
        (0, "participant_joined alice"),
        (5, "track_published alice"),
        (10, "track_unpublished alice"),
        (10, "participant_left alice"),
        (30, "room_finished"),
    ]
    assert [one.happened.event.created_at - START_MS // 1000 for one in told] == [0, 0, 5, 10, 10, 30]


def test_equal_seeds_give_equal_events_and_others_give_others() -> None:
    text = "steps: [{join: alice}, {after: 1s, leave: alice}]"
    assert played(text) == played(text)
    assert played(text) != played(text, seed=2)


def test_every_action_does_what_it_says() -> None:
    told = played("""
        room: one
        settle: 1m
        steps:
          - {create: one, metadata: m, empty_timeout: 10s, departure_timeout: 1m, max_participants: 9}
          - {join: alice, name: Alice, metadata: a}
          - {arrive: agent, kind: agent}
          - {connect: agent}
          - {publish: camera, by: alice, name: face}
          - {mute: face, by: alice}
          - {unmute: face, by: alice}
          - {record: r1, file: a.mp4, webhook: "http://127.0.0.1/hook", signing_key: devkey}
          - {record: r2, of: participant, by: alice}
          - {record: r3, of: track, by: alice, track: face}
          - {record: r4, of: web, url: "https://example.com"}
          - {record: r5}
          - {push: in, by: camera}
          - {after: 2s, stop: r1}
          - {finish: r2}
          - {fail: r3, error: broke}
          - {abort: r4}
          - {limit: r5}
          - {fail: in, error: lost}
          - {push: in, by: camera}
          - {after: 2s, finish: in}
          - {after: 1s, unpublish: face, by: alice}
          - {move: alice, to: two}
          - {remove: agent}
          - {delete: one}
          - {drop: alice, room: two}
          - {join: bob, room: three}
          - {leave: bob, room: three, reason: server_shutdown}
    """)
    events = [one.happened.event for one in told]
    by_name = {one.egress_id: one.message.egress_info for one in events if one.type == "egress_ended"}
    assert sorted(info.status for info in by_name.values()) == sorted(
        [egress.EGRESS_COMPLETE, egress.EGRESS_COMPLETE, egress.EGRESS_FAILED, egress.EGRESS_ABORTED,
         egress.EGRESS_LIMIT_REACHED]
    )  # fmt: skip
    assert [one.message.ingress_info.state.error for one in events if one.type == "ingress_ended"] == ["lost", ""]
    started = events[0].message.room
    assert (started.name, started.metadata, started.empty_timeout, started.departure_timeout) == ("one", "m", 10, 60)
    moved = [
        one.room_name for one in events if one.type == "participant_joined" and one.participant_identity == "alice"
    ]
    assert moved == ["one", "two"]
    reasons = {
        (one.participant_identity, one.room_name): one.message.participant.disconnect_reason
        for one in events
        if one.type == "participant_left"
    }
    assert reasons["alice", "two"] == models.CONNECTION_TIMEOUT
    assert reasons["bob", "three"] == models.SERVER_SHUTDOWN
    assert reasons["agent", "one"] == models.PARTICIPANT_REMOVED
    assert {hook.url for one in told for hook in one.happened.webhooks} == {"http://127.0.0.1/hook"}


def test_a_scenario_is_played_again_and_again_each_time_in_a_room_of_its_own() -> None:
    told = played("room: demo\nrepeat: 3\nspacing: 10s\nsteps: [{join: alice}, {after: 15s, leave: alice}]")
    assert [one for one in story(told) if "joined" in one[1] or "left" in one[1]] == [
        (0, "participant_joined alice"),
        (10, "participant_joined alice"),
        (15, "participant_left alice"),
        (20, "participant_joined alice"),
        (25, "participant_left alice"),
        (35, "participant_left alice"),
    ]
    assert {one.happened.event.room_name for one in told} == {"demo-1", "demo-2", "demo-3"}


def test_a_room_that_nobody_leaves_stays_open_when_the_scenario_is_over() -> None:
    assert story(played("steps: [{join: alice}]")) == [(0, "room_started"), (0, "participant_joined alice")]


def test_what_follows_by_itself_is_told_as_long_as_it_is_waited_for() -> None:
    text = "settle: {}\nsteps: [{{create: demo, empty_timeout: 1h}}]"
    assert len(played(text.format("59m"))) == 1
    assert len(played(text.format("1h"))) == 2


def test_a_server_that_misbehaves_loses_delays_repeats_and_mistakes_events() -> None:
    told = played("""
        steps: [{join: alice}, {after: 1s, leave: alice}, {after: 1s, join: alice}, {after: 1s, leave: alice}]
        misbehaviours:
          - {lose: room_started}
          - {hold: participant_left, of: alice, for: 5s}
          - {repeat: participant_joined, after: 10s, times: 2}
          - {turn: room_finished, into: room_started}
    """)
    assert story(told) == [
        (0, "participant_joined alice"),
        (2, "participant_joined alice"),
        (3, "participant_left alice"),
        (6, "participant_left alice"),
        (10, "participant_joined alice"),
        (12, "participant_joined alice"),
        (23, "room_started"),
    ]
    first, again = told[0].happened.event, told[4].happened.event
    assert first.participant_sid == again.participant_sid
    assert first.id != again.id
    assert again.created_at - first.created_at == 10


def test_a_crash_forgets_everything_and_tells_nothing() -> None:
    told = played(
        "steps: [{join: alice}, {after: 9s, crash: now}, {after: 1s, join: alice}, {after: 1s, leave: alice}]"
    )
    assert [one for _, one in story(told)] == [
        "room_started",
        "participant_joined alice",
        "room_started",
        "participant_joined alice",
        "participant_left alice",
        "room_finished",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "call.yaml: steps: a scenario needs steps"),
        ("steps: []", "call.yaml:1: steps: a scenario needs at least one step"),
        ("steps:\n  - jion: alice", "call.yaml:2: steps[0]: nothing here says what happens; did you mean join?"),
        ("steps:\n  - {after: 1s}", "call.yaml:2: steps[0]: nothing here says what happens; there are create, "),
        ("steps:\n  - {join: a, leave: b}", "call.yaml:2: steps[0]: join and leave stand in one entry"),
        ("steps:\n  - join:", "call.yaml:2: steps[0]: `join` says nothing; whom or what is it about?"),
        ("steps:\n  - {publish: camera}", "call.yaml:2: steps[0]: publish needs `by`"),
        ("steps:\n  - {join: a, reason: x}", "call.yaml:2: steps[0].reason: there is no such setting"),
        ("steps:\n  - join: a\n    after: soon", "call.yaml:3: steps[0].after: expected"),
        ("steps:\n  - {join: a, at: 1s, after: 1s}", "call.yaml:2: steps[0]: a step has `at`"),
        ("steps:\n  - {join: a, at: 9s}\n  - {leave: a, at: 1s}", "call.yaml:3: steps[1].at: the step before is at 9s"),
        ("steps:\n  - {join: a, kind: robot}", "call.yaml:2: steps[0].kind: expected standard or ingress"),
        ("steps:\n  - {join: a}\n  - {leave: a, reason: bored}", "call.yaml:3: steps[1].reason: expected unknown_reason"),
        ("steps:\n  - {record: a, of: life}", "call.yaml:2: steps[0].of: expected room or participant"),
        ("steps:\n  - {create: a, empty_timeout: 0s}", "call.yaml:2: steps[0].empty_timeout: must be from 1s"),
        ("steps:\n  - {create: a, max_participants: 0}", "call.yaml:2: steps[0].max_participants: must be from 1"),
        ("steps: {join: a}", "call.yaml:1: steps: expected a list"),
        ("rooms: x\nsteps: [{join: a}]", "call.yaml:1: rooms: there is no such setting; did you mean room?"),
        ("repeat: 0\nsteps: [{join: a}]", "call.yaml:1: repeat: must be from 1 to 100000"),
        ("steps: [{join: a}]\nmisbehaviours: [{hold: room_started}]", "call.yaml:2: misbehaviours[0]: hold needs `for`"),
        ("steps: [{join: a}]\nmisbehaviours: [{lose: room_gone}]", "call.yaml:2: misbehaviours[0].lose: expected room_st"),
        ("steps: [{join: a}]\nmisbehaviours: [{lose: }]", "call.yaml:2: misbehaviours[0]: `lose` names no event"),
        ("steps: [{join: a}]\nmisbehaviours: [{forget: x}]", "call.yaml:2: misbehaviours[0]: nothing here says what"),
        ("steps: [{join: a}\n", "call.yaml:2: this is no YAML"),
        # What only shows while it is played
        ("steps:\n  - {leave: alice}", "call.yaml:2: steps[0]: alice is not in room demo at that time."),
        ("steps:\n  - {delete: demo}", "call.yaml:2: steps[0]: delete demo: requested room does not exist"),
        ("steps:\n  - join: a\n  - {publish: mic, by: a}", "call.yaml:3: steps[1].publish: expected microphone or camera or"),
        ("steps:\n  - join: a\n  - {mute: face, by: a}", "call.yaml:3: steps[1]: a publishes no track 'face' at that"),
        ("steps:\n  - {stop: main}", "call.yaml:2: steps[0]: There is no recording or ingress 'main' at that time; there"),
        ("steps:\n  - {record: main}", "call.yaml:2: steps[0]: record main: requested room does not exist"),
        ("steps:\n  - {push: in, by: c}\n  - {limit: in}", "call.yaml:3: steps[1]: An ingress cannot limit; it can"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_file_line_and_key(text: str, message: str) -> None:
    assert error_of(text).startswith(message), error_of(text)


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_scenario_plays_to_its_end(name: str) -> None:
    scenario = shipped(name)
    assert scenario.title
    scenario = msgspec.structs.replace(scenario, repeat=min(scenario.repeat, 20))
    told = list(play(scenario, start_ms=START_MS, token_bytes=random.Random(1).randbytes))
    assert len(told) >= 4
    assert [one.at_ms for one in told] == sorted(one.at_ms for one in told)
    if not scenario.misbehaviours and name != "node-crash":
        types = [one.happened.event.type for one in told]
        assert types.count("room_started") == types.count("room_finished")
        assert types.count("participant_joined") == types.count("participant_left")


def test_the_shipped_scenarios_use_every_action_but_few() -> None:
    used = {step.action for name in shipped_names() for step in shipped(name).steps}
    assert set(Action) - used == {Action.CONNECT, Action.REMOVE, Action.MOVE, Action.UNPUBLISH, Action.UNMUTE}


def told_of(name: str) -> list[str]:
    told = list(play(shipped(name), start_ms=START_MS, token_bytes=random.Random(1).randbytes))
    return [f"{one.happened.event.type} {one.happened.event.participant_identity}".strip() for one in told]


def test_a_late_left_comes_after_the_new_joined_and_is_the_old_sessions() -> None:
    told = [
        one.happened.event
        for one in play(shipped("late-left"), start_ms=START_MS, token_bytes=random.Random(1).randbytes)
    ]
    alice = [(one.type, one.participant_sid) for one in told if one.participant_identity == "alice"]
    (_, old), (_, new) = alice[:2]
    assert alice == [
        ("participant_joined", old),
        ("participant_joined", new),
        ("participant_left", old),
        ("participant_left", new),
    ]


def test_the_other_recorded_misbehaviours_are_what_their_names_say() -> None:
    aborted = told_of("aborted-after-connected")
    assert "participant_connection_aborted alice" in aborted
    assert not {"participant_joined alice", "participant_left alice"} & set(aborted)
    assert told_of("phantom-room")[-3:] == ["room_finished", "room_started", "room_finished"]
    assert told_of("repeated-egress-ended").count("egress_ended") == 2
    crash = told_of("node-crash")
    assert crash.count("participant_joined alice") == crash.count("participant_left alice") + 1
    assert "participant_left bob" not in crash
    counts = told_of("counts")
    assert "participant_joined alice" not in counts
    assert "participant_left bob" not in counts


def test_a_scenario_that_is_not_shipped_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="There is no scenario 'cal'; there is: aborted-after-connected, call, "):
        shipped("cal")
