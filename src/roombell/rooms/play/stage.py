"""Does the steps of a scenario on a machine."""

from __future__ import annotations

from collections.abc import Callable

from livekit.protocol import egress, ingress, models, room

from roombell.config.document import Value
from roombell.errors import UsageError
from roombell.rooms.machine import Machine
from roombell.rooms.outputs import Request
from roombell.rooms.participants import Joining
from roombell.rooms.play.scenario import Action, Option, Step
from roombell.rooms.refusals import Refused
from roombell.rooms.scripted import track_request


class Stage:
    """A machine, and the names that a scenario has for what is on it.

    :param default_room: the room of steps that name none.
    :param number: what ``{n}`` in a room's name stands for.
    """

    def __init__(self, machine: Machine, default_room: str, number: int) -> None:
        self._machine = machine
        self._default_room = default_room
        self._number = number
        self._recordings: dict[str, str] = {}
        self._ingresses: dict[str, str] = {}
        self._actions: dict[Action, Callable[[Step], None]] = {
            Action.CREATE: self._create,
            Action.DELETE: self._delete,
            Action.JOIN: self._join,
            Action.ARRIVE: self._arrive,
            Action.CONNECT: self._connect,
            Action.LEAVE: self._leave,
            Action.DROP: self._drop,
            Action.REMOVE: self._remove,
            Action.MOVE: self._move,
            Action.PUBLISH: self._publish,
            Action.UNPUBLISH: self._unpublish,
            Action.MUTE: self._mute,
            Action.UNMUTE: self._mute,
            Action.RECORD: self._record,
            Action.PUSH: self._push,
            Action.STOP: self._end,
            Action.FINISH: self._end,
            Action.FAIL: self._end,
            Action.ABORT: self._end,
            Action.LIMIT: self._end,
        }

    def do(self, step: Step) -> None:
        """:raises ConfigError: the step cannot be done now; it names the file and the line."""
        try:
            self._actions[step.action](step)
        except Refused as refused:
            raise step.place.error(f"{step.action} {step.subject}: {refused.message}") from None
        except UsageError as error:
            raise step.place.error(str(error)) from None

    def _room(self, named: Value | None) -> str:
        name = self._default_room if named is None else named.text()
        return name.replace("{n}", str(self._number))

    def _room_of(self, step: Step) -> str:
        return self._room(step.options.get(Option.ROOM))

    def _sid(self, step: Step, identity: str) -> str:
        try:
            return self._machine.participants.get(self._room_of(step), identity).sid
        except Refused:
            raise UsageError(f"{identity} is not in room {self._room_of(step)} at that time.") from None

    def _create(self, step: Step) -> None:
        options = step.options
        empty, departure = options.get(Option.EMPTY_TIMEOUT), options.get(Option.DEPARTURE_TIMEOUT)
        most = options.get(Option.MAX_PARTICIPANTS)
        request = room.CreateRoomRequest(
            name=(step.subject or self._default_room).replace("{n}", str(self._number)),
            metadata=step.text(Option.METADATA),
            empty_timeout=0 if empty is None else empty.duration_ms("1s", "30d") // 1000,
            departure_timeout=0 if departure is None else departure.duration_ms("1s", "30d") // 1000,
            max_participants=0 if most is None else most.integer(1, 100_000),
        )
        self._machine.rooms.create(request)

    def _delete(self, step: Step) -> None:
        self._machine.rooms.delete((step.subject or self._default_room).replace("{n}", str(self._number)))

    def _arrive(self, step: Step) -> None:
        kind = step.text(Option.KIND, "standard").upper()
        joining = Joining(
            room=self._room_of(step),
            identity=step.subject,
            name=step.text(Option.NAME),
            metadata=step.text(Option.METADATA),
            kind=models.ParticipantInfo(kind=kind).kind,
            listens=False,
        )
        joined = self._machine.participants.join(joining)
        self._machine.participants.welcome(joined.participant.sid)

    def _connect(self, step: Step) -> None:
        self._machine.participants.connect(self._sid(step, step.subject))

    def _join(self, step: Step) -> None:
        self._arrive(step)
        self._connect(step)

    def _leave(self, step: Step) -> None:
        reason = step.text(Option.REASON, "client_initiated").upper()
        why = models.ParticipantInfo(disconnect_reason=reason).disconnect_reason
        self._machine.participants.leave(self._sid(step, step.subject), why)

    def _drop(self, step: Step) -> None:
        self._machine.participants.leave(self._sid(step, step.subject), models.CONNECTION_TIMEOUT)

    def _remove(self, step: Step) -> None:
        self._machine.participants.remove(self._room_of(step), step.subject)

    def _move(self, step: Step) -> None:
        destination = self._room(step.options[Option.TO])
        self._machine.participants.move(self._room_of(step), step.subject, destination)

    def _publish(self, step: Step) -> None:
        request = track_request(step.subject, name=step.text(Option.NAME))
        sid = self._sid(step, step.text(Option.BY))
        self._machine.tracks.media(sid, self._machine.tracks.add(sid, request).sid)

    def _unpublish(self, step: Step) -> None:
        sid = self._sid(step, step.text(Option.BY))
        self._machine.tracks.remove(sid, self._track(step, step.text(Option.BY), step.subject))

    def _mute(self, step: Step) -> None:
        sid = self._sid(step, step.text(Option.BY))
        track = self._track(step, step.text(Option.BY), step.subject)
        self._machine.tracks.mute(sid, track, muted=step.action == Action.MUTE)

    def _track(self, step: Step, identity: str, name: str) -> str:
        tracks = self._machine.participants.get(self._room_of(step), identity).tracks
        for track in tracks:
            if name == track.name:
                return track.sid
        published = ", ".join(track.name for track in tracks) or "none"
        raise UsageError(f"{identity} publishes no track {name!r} at that time; published: {published}.")

    def _record(self, step: Step) -> None:
        request = self._request(step)
        url = step.text(Option.WEBHOOK)
        if url:
            request.webhooks.add(url=url, signing_key=step.text(Option.SIGNING_KEY))
        self._recordings[step.subject] = self._machine.egresses.start(request).egress_id

    def _request(self, step: Step) -> Request:
        room_name, path = self._room_of(step), step.text(Option.FILE, "{room_name}-{time}")
        file = egress.EncodedFileOutput(file_type=egress.MP4, filepath=path)
        identity = step.text(Option.BY)
        match step.text(Option.OF, "room"):
            case "participant":
                return egress.ParticipantEgressRequest(room_name=room_name, identity=identity, file_outputs=[file])
            case "track":
                track = self._track(step, identity, step.text(Option.TRACK, "microphone"))
                direct = egress.DirectFileOutput(filepath=path)
                return egress.TrackEgressRequest(room_name=room_name, track_id=track, file=direct)
            case "web":
                url = step.text(Option.URL, "https://example.com")
                return egress.WebEgressRequest(url=url, file_outputs=[file])
            case _:
                return egress.RoomCompositeEgressRequest(room_name=room_name, file_outputs=[file])

    def _push(self, step: Step) -> None:
        """To the ingress of that name, which is made the first time."""
        if step.subject not in self._ingresses:
            request = ingress.CreateIngressRequest(
                name=step.subject, room_name=self._room_of(step), participant_identity=step.text(Option.BY)
            )
            self._ingresses[step.subject] = self._machine.ingresses.create(request).ingress_id
        self._machine.ingresses.publish(self._ingresses[step.subject])

    def _end(self, step: Step) -> None:
        """Of a recording in any way, of an ingress by FINISH and FAIL."""
        error = step.text(Option.ERROR, "internal error")
        if step.subject in self._ingresses:
            self._end_ingress(step.action, self._ingresses[step.subject], error)
            return
        if step.subject not in self._recordings:
            known = ", ".join((*self._recordings, *self._ingresses)) or "none"
            raise UsageError(f"There is no recording or ingress {step.subject!r} at that time; there is: {known}.")
        egress_id, egresses = self._recordings[step.subject], self._machine.egresses
        match step.action:
            case Action.STOP:
                egresses.stop(egress_id)
            case Action.FAIL:
                egresses.fail(egress_id, error)
            case Action.ABORT:
                egresses.abort(egress_id)
            case Action.LIMIT:
                egresses.reach_limit(egress_id)
            case _:
                egresses.finish(egress_id)

    def _end_ingress(self, action: Action, ingress_id: str, error: str) -> None:
        match action:
            case Action.FAIL:
                self._machine.ingresses.fail(ingress_id, error)
            case Action.FINISH | Action.STOP:
                self._machine.ingresses.end(ingress_id)
            case _:
                raise UsageError(f"An ingress cannot {action}; it can finish or fail.")
