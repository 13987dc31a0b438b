"""Whatever happens in rooms in whatever order, what is told of it keeps the promises."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from livekit.protocol import agent_dispatch, egress, ingress, models
from livekit.protocol import room as messages

from roombell.rooms import Joining, Machine, Refused, RoomSettings
from roombell.rooms.effects import Happened, Left, Tell
from roombell.rooms.play import parse_scenario, play
from roombell.rooms.scripted import track_request
from support.rooms import START_MS, Ledger

ROOMS = ("one", "two", "three")
IDENTITIES = ("alice", "bob", "carol")
KINDS = (models.ParticipantInfo.STANDARD, models.ParticipantInfo.AGENT)
REASONS = (models.CLIENT_INITIATED, models.SIGNAL_CLOSE, models.CONNECTION_TIMEOUT)
ENDINGS = ("stop", "finish", "fail", "abort", "reach_limit")
SMALL = RoomSettings(
    empty_timeout_s=30, departure_timeout_s=5, max_participants=3, egresses_max=6, ingresses_max=4,
    tracks_per_participant_max=3, egress_kept_ms=60_000,
)  # fmt: skip

rooms = st.sampled_from(ROOMS)
identities = st.sampled_from(IDENTITIES)
files = st.sampled_from(
    ["a.mp4", "roombell-fail", "roombell-fail-after-3s", "roombell-limit-after-9s", "roombell-stuck"]
)
picks = st.integers(0, 5)


class RoomsKeepTheirPromises(RuleBasedStateMachine):
    """Commands of every kind, refused or not, with time passing between."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine(settings=SMALL, token_bytes=random.Random(1).randbytes)
        self.now_ms = START_MS
        self.machine.at(self.now_ms)
        self.ledger = Ledger()
        self.gone: set[str] = set()

    def attempt(self, command: Callable[[], object]) -> None:
        """Runs a command; one that is refused must leave no trace."""
        self.book()
        try:
            command()
        except Refused:
            assert self.machine.take_effects() == (), "a refused command had effects"
        self.book()

    def book(self) -> None:
        for effect in self.machine.take_effects():
            match effect:
                case Happened():
                    self.ledger.book(effect.event)
                case Tell():
                    assert effect.participant_sid not in self.gone, "told after it was told to leave"
                    if isinstance(effect.notice, Left):
                        self.gone.add(effect.participant_sid)

    def sid(self, room: str, identity: str) -> str:
        found = (one.sid for one in self.machine.participants.listed(room) if one.identity == identity)
        return next(found, "PA_nobody")

    @rule(seconds=st.integers(0, 100))
    def wait(self, seconds: int) -> None:
        self.now_ms += seconds * 1000
        self.machine.at(self.now_ms)
        self.book()

    @rule(room=rooms, records=st.booleans())
    def create(self, room: str, records: bool) -> None:
        request = messages.CreateRoomRequest(name=room)
        if records:
            request.egress.tracks.filepath = "{track_id}"
        self.attempt(lambda: self.machine.rooms.create(request))

    @rule(room=rooms)
    def delete(self, room: str) -> None:
        self.attempt(lambda: self.machine.rooms.delete(room))

    @rule(room=rooms, identity=identities, kind=st.sampled_from(KINDS), listens=st.booleans())
    def arrive(self, room: str, identity: str, kind: models.ParticipantInfo.Kind, listens: bool) -> None:
        joining = Joining(room=room, identity=identity, kind=kind, listens=listens)
        self.attempt(lambda: self.machine.participants.welcome(self.machine.participants.join(joining).participant.sid))

    @rule(room=rooms, identity=identities)
    def connect(self, room: str, identity: str) -> None:
        self.attempt(lambda: self.machine.participants.connect(self.sid(room, identity)))

    @rule(room=rooms, identity=identities, reason=st.sampled_from(REASONS))
    def leave(self, room: str, identity: str, reason: models.DisconnectReason) -> None:
        self.attempt(lambda: self.machine.participants.leave(self.sid(room, identity), reason))

    @rule(room=rooms, identity=identities)
    def remove(self, room: str, identity: str) -> None:
        self.attempt(lambda: self.machine.participants.remove(room, identity))

    @rule(room=rooms, identity=identities, destination=rooms)
    def move(self, room: str, identity: str, destination: str) -> None:
        self.attempt(lambda: self.machine.participants.move(room, identity, destination))

    @rule(room=rooms, identity=identities, media=st.booleans())
    def publish(self, room: str, identity: str, media: bool) -> None:
        sid = self.sid(room, identity)
        added: list[str] = []
        self.attempt(lambda: added.append(self.machine.tracks.add(sid, track_request("microphone")).sid))
        for track in added if media else ():
            self.attempt(lambda track=track: self.machine.tracks.media(sid, track))

    @rule(room=rooms, identity=identities, may_publish=st.booleans())
    def permit(self, room: str, identity: str, may_publish: bool) -> None:
        permission = models.ParticipantPermission(can_publish=may_publish, can_subscribe=True)
        request = messages.UpdateParticipantRequest(room=room, identity=identity, permission=permission)
        self.attempt(lambda: self.machine.participants.update(request))

    @rule(room=rooms, identity=identities)
    def unpublish(self, room: str, identity: str) -> None:
        sid = self.sid(room, identity)
        tracks = [track.sid for one in self.machine.participants.listed(room) if one.sid == sid for track in one.tracks]
        self.attempt(lambda: [self.machine.tracks.remove(sid, track) for track in tracks])

    @rule(room=rooms, identity=identities, file=files, of_participant=st.booleans())
    def record(self, room: str, identity: str, file: str, of_participant: bool) -> None:
        output = egress.EncodedFileOutput(filepath=file)
        request = (
            egress.ParticipantEgressRequest(room_name=room, identity=identity, file_outputs=[output])
            if of_participant
            else egress.RoomCompositeEgressRequest(room_name=room, file_outputs=[output])
        )
        self.attempt(lambda: self.machine.egresses.start(request))

    @rule(pick=picks, how=st.sampled_from(ENDINGS))
    def end_recording(self, pick: int, how: str) -> None:
        ids = [one.egress_id for one in self.machine.egresses.listed()] or ["EG_none"]
        self.attempt(lambda: getattr(self.machine.egresses, how)(ids[pick % len(ids)]))

    @rule(room=rooms, identity=identities, pulls=st.booleans())
    def make_ingress(self, room: str, identity: str, pulls: bool) -> None:
        request = ingress.CreateIngressRequest(
            input_type=ingress.URL_INPUT if pulls else ingress.RTMP_INPUT,
            url="https://example.com" if pulls else "",
            room_name=room,
            participant_identity=identity,
        )
        self.attempt(lambda: self.machine.ingresses.create(request))

    @rule(pick=picks, how=st.sampled_from(["publish", "end", "fail", "delete"]))
    def steer_ingress(self, pick: int, how: str) -> None:
        ids = [one.ingress_id for one in self.machine.ingresses.listed()] or ["IN_none"]
        self.attempt(lambda: getattr(self.machine.ingresses, how)(ids[pick % len(ids)]))

    @rule(room=rooms)
    def dispatch(self, room: str) -> None:
        request = agent_dispatch.CreateAgentDispatchRequest(room=room, agent_name="bot")
        self.attempt(lambda: self.machine.dispatches.create(request))

    @rule()
    def shut_down(self) -> None:
        self.attempt(self.machine.rooms.shut_down)
        assert not self.ledger.present
        assert not self.ledger.open_rooms

    @invariant()
    def what_was_told_is_what_is(self) -> None:
        listed = {room.name: room for room in self.machine.rooms.listed()}
        assert {name: room.sid for name, room in listed.items()} == self.ledger.open_rooms
        everybody = [(name, one) for name in listed for one in self.machine.participants.listed(name)]
        active = {one.sid: name for name, one in everybody if one.state == models.ParticipantInfo.ACTIVE}
        assert active == self.ledger.present
        assert {track.sid: one.sid for _, one in everybody for track in one.tracks} == self.ledger.tracks
        for name, room in listed.items():
            people = [one for where, one in everybody if where == name]
            recorders = [one for one in people if one.kind == models.ParticipantInfo.EGRESS]
            assert room.num_participants == len(people) - len(recorders)
            assert room.num_publishers == sum(bool(one.tracks) for one in people)
            assert room.active_recording == bool(recorders)
        ended = {one for one, last in self.ledger.recordings.items() if last == "egress_ended"}
        running = {one.egress_id for one in self.machine.egresses.listed(active=True)}
        assert not ended & running
        assert set(self.ledger.recordings) == ended | running


TestRoomsKeepTheirPromises = RoomsKeepTheirPromises.TestCase
TestRoomsKeepTheirPromises.settings = settings(
    max_examples=200, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)


def script(seed: int) -> str:
    """A scenario drawn from a seed: people who come, publish, record, drop, come again and go."""
    draw = random.Random(seed)
    steps = ["{join: alice}"]
    inside = {"alice"}
    for _ in range(draw.randint(2, 10)):
        who = draw.choice(IDENTITIES)
        after = f"after: {draw.randint(0, 40)}s"
        if who not in inside or draw.random() < 0.2:
            arrives = draw.random() < 0.3  # and its connection never comes up
            steps.append(f"{{{after}, {'arrive' if arrives else 'join'}: {who}}}")
            (inside.discard if arrives else inside.add)(who)
        elif draw.random() < 0.4:
            steps.append(f"{{{after}, publish: {draw.choice(('microphone', 'camera'))}, by: {who}}}")
        elif draw.random() < 0.2:
            steps.append(f"{{{after}, record: r{len(steps)}, file: roombell-limit-after-{draw.randint(1, 30)}s}}")
        else:
            steps.append(f"{{{after}, {draw.choice(('leave', 'drop', 'remove'))}: {who}}}")
            inside.discard(who)
        if not inside:
            break
    lines = "\n".join(f"  - {step}" for step in steps)
    return (
        f"room: r{seed}-{{n}}\nrepeat: 100\nspacing: 1s\nsteps:\n{lines}\n  - {{after: 1s, delete: 'r{seed}-{{n}}'}}\n"
    )


def test_five_thousand_scripted_rooms_keep_the_promises() -> None:
    finished = 0
    for seed in range(50):
        ledgers: dict[str, Ledger] = {}
        scenario = parse_scenario(script(seed), source=f"seed {seed}")
        for told in play(scenario, start_ms=START_MS, token_bytes=random.Random(seed).randbytes):
            event = told.happened.event
            ledgers.setdefault(event.room_name, Ledger()).book(event)
        assert len(ledgers) == 100
        for ledger in ledgers.values():
            assert not ledger.present
            assert not ledger.open_rooms
            assert not ledger.tracks
            assert ledger.joined == ledger.left
            assert set(ledger.recordings.values()) <= {"egress_ended"}
            finished += len(ledger.finished)
    assert finished >= 5_000
