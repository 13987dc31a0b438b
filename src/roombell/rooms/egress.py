"""Recordings: every status that LiveKit's egress has, at its times and with its events, and no media.

A recording of a room is in the room: a hidden participant of kind EGRESS, named as the recording, joins when it runs
and leaves when it ends. Applications that count participants meet that with LiveKit too.
"""

from __future__ import annotations

from livekit.protocol import egress, models
from livekit.protocol.egress import EgressInfo, EgressStatus

from roombell.rooms import results
from roombell.rooms.automatic import participant_recording, track_recording
from roombell.rooms.lifecycle import EGRESS, EgressMove, TrackState
from roombell.rooms.orders import OrderKind
from roombell.rooms.outputs import Request
from roombell.rooms.participants import Joining, Participants
from roombell.rooms.recorded import extension_of, is_publishing, tracks_of, words_of
from roombell.rooms.recording import RECORDER_RIGHTS, Egress, missing, recording_for, room_name_of
from roombell.rooms.refusals import Code, Refused, no_egress
from roombell.rooms.results import NS_PER_MS
from roombell.rooms.world import Participant, Room, Track, Watcher, World

SOURCE_CLOSED = "Source closed"
STOPPED_BY_API = "StopEgress API"


class Egresses(Watcher):
    """The life of recordings. A recording is named by its id."""

    def __init__(self, world: World, participants: Participants) -> None:
        self._world = world
        self._participants = participants
        self._all: dict[str, Egress] = {}
        self._by_room: dict[str, dict[str, Egress]] = {}
        """Those that are not over, by their room's name."""

    def start(self, request: Request) -> EgressInfo:
        """Asks for a recording: ``egress_started``. It runs after ``egress_start_ms``.

        :raises Refused: it names no output, no room that is open, nobody, or no track.
        """
        world, name = self._world, room_name_of(request)
        info = EgressInfo(egress_id=world.new_id("EG_"), updated_at=world.now_ms * NS_PER_MS)
        if name:
            info.room_id, info.room_name = world.room(name).info.sid, name
        recording = recording_for(request, info)
        self._remember(recording)
        world.happened(world.builder.egress_started(info), recording.webhooks)
        if recording.order is None or recording.order.kind != OrderKind.STUCK:
            self._wait(recording, world.settings.egress_start_ms)
        return recording.copy()

    def stop(self, egress_id: str) -> EgressInfo:
        """The API ends it: ENDING, or ABORTED where it does not run yet.

        :raises Refused: there is none, or it is ending or over.
        """
        recording = self._running(egress_id, EgressMove.STOP, "be stopped")
        self._stop(recording, STOPPED_BY_API)
        return recording.copy()

    def finish(self, egress_id: str) -> EgressInfo:
        """Its source ends, as when a web page says so. Else as ``stop``."""
        recording = self._running(egress_id, EgressMove.STOP, "finish")
        self._stop(recording, SOURCE_CLOSED)
        return recording.copy()

    def fail(self, egress_id: str, error: str = "internal error", error_code: int = 500) -> EgressInfo:
        """It breaks: FAILED.

        :raises Refused: there is none, or it is over.
        """
        recording = self._running(egress_id, EgressMove.FAIL, "fail")
        self._end(recording, EgressMove.FAIL, error, error_code)
        return recording.copy()

    def abort(self, egress_id: str, error: str = "Start signal not received") -> EgressInfo:
        """It is given up: ABORTED.

        :raises Refused: there is none, or it is over.
        """
        recording = self._running(egress_id, EgressMove.ABORT, "be aborted")
        self._end(recording, EgressMove.ABORT, error, 412)
        return recording.copy()

    def reach_limit(self, egress_id: str) -> EgressInfo:
        """It has lasted as long as it may: LIMIT_REACHED, with what it wrote so far.

        :raises Refused: there is none, or it does not run.
        """
        recording = self._running(egress_id, EgressMove.LIMIT, "reach its limit")
        self._end(recording, EgressMove.LIMIT, "Session limit reached", 413)
        return recording.copy()

    def fail_stream(self, egress_id: str, url: str, error: str = "connection failed") -> EgressInfo:
        """One of its streams breaks: ``egress_updated``. With the last output the recording fails.

        :raises Refused: there is none, or no such stream is live.
        """
        recording = self._running(egress_id, EgressMove.LIMIT, "lose a stream")
        stream = results.live_stream(recording.info, url)
        if stream is None:
            raise Refused(Code.NOT_FOUND, "stream is not found")
        results.end_stream(stream, self._world.now_ms, error)
        if recording.has_live_output:
            self._updated(recording)
        else:
            self._end(recording, EgressMove.FAIL, error, 500)
        return recording.copy()

    def update_layout(self, request: egress.UpdateLayoutRequest) -> EgressInfo:
        """:raises Refused: there is none, it is over, or it has no layout."""
        recording = self._running(request.egress_id, EgressMove.STOP, "be updated")
        match recording.info.WhichOneof("request"):
            case "room_composite":
                recording.info.room_composite.layout = request.layout
            case "egress" if recording.info.egress.HasField("template"):
                recording.info.egress.template.layout = request.layout
            case _:
                raise missing("layout")
        return recording.copy()

    def update_stream(self, request: egress.UpdateStreamRequest) -> EgressInfo:
        """Streams are added and removed: ``egress_updated``. With its last output the recording ends.

        :raises Refused: there is none, it does not run, it streams nothing, or a removed stream is not live.
        """
        recording, now_ms = self._running(request.egress_id, EgressMove.LIMIT, "be updated"), self._world.now_ms
        if not recording.info.stream_results:
            raise missing("output")
        ending = [results.live_stream(recording.info, url) for url in request.remove_output_urls]
        if None in ending:
            raise Refused(Code.NOT_FOUND, "stream is not found")
        for url in (*request.add_output_urls, *(one.url for one in request.add_destinations)):
            results.add_stream(recording.info, url, now_ms)
        for stream in ending:
            if stream is not None:
                results.end_stream(stream, now_ms)
        if recording.has_live_output:
            self._updated(recording)
        else:
            self._stop(recording, SOURCE_CLOSED)
        return recording.copy()

    def listed(self, room_name: str = "", egress_id: str = "", *, active: bool = False) -> tuple[EgressInfo, ...]:
        """Recordings in the order of their start: of a room, of an id, those that are not over; by default all."""
        return tuple(
            one.copy()
            for one in self._all.values()
            if room_name in ("", one.info.room_name)
            and egress_id in ("", one.info.egress_id)
            and not (active and one.is_over)
        )

    def due(self, egress_id: str) -> None:
        """Its next step by itself."""
        recording = self._all[egress_id]
        if recording.info.status == EgressStatus.EGRESS_STARTING:
            self._run(recording)
        elif recording.info.status == EgressStatus.EGRESS_ENDING:
            self._end(recording, EgressMove.FINISH)
        else:
            del self._all[egress_id]

    def order_due(self, egress_id: str) -> None:
        """It is time for what the request ordered."""
        recording = self._all.get(egress_id)
        if recording is not None and recording.order is not None and not recording.is_over:
            self._follow(recording, recording.order.kind)

    def room_made(self, room: Room) -> None:
        """A recording that begins with its room."""
        if room.egress.HasField("room"):
            request = egress.RoomCompositeEgressRequest()
            request.CopyFrom(room.egress.room)
            request.room_name = room.info.name
            self._start_by_itself(request, room)

    def track_published(self, participant: Participant, track: Track) -> None:
        """Recordings that wait for this participant, and those that begin with it or with its track."""
        room, identity = participant.room, participant.info.identity
        for recording in self._of(room):
            if recording.waits and recording.identity == identity:
                recording.waits = False
                self._wait(recording, 0)
        is_first = sum(one.state == TrackState.PUBLISHED for one in participant.tracks.values()) == 1
        if room.egress.HasField("participant") and is_first and not participant.is_dependent:
            self._start_by_itself(participant_recording(room, identity), room)
        if room.egress.HasField("tracks"):
            self._start_by_itself(track_recording(room, track), room)

    def track_gone(self, participant: Participant, track: Track) -> None:
        """Recordings of tracks end with their last one."""
        for recording in self._of(participant.room):
            if track.info.sid in recording.tracks and not any(tracks_of(self._world, recording)):
                self._stop_if_running(recording)

    def participant_gone(self, participant: Participant) -> None:
        """Recordings end with whom they record, or with the last one of those; and with their own recorder."""
        nobody_left = all(one.is_dependent for one in participant.room.participants.values())
        for recording in self._of(participant.room):
            is_recorder = recording.recorder_sid == participant.info.sid
            is_recorded = recording.identity == participant.info.identity
            is_last = recording.records_room and nobody_left and not participant.is_dependent
            if is_recorder or is_recorded or is_last:
                self._stop_if_running(recording)

    def room_ending(self, room: Room) -> None:
        """What does not run yet never will."""
        for recording in self._of(room):
            if EGRESS.allows(recording.info.status, EgressMove.STOP):
                self._stop(recording, SOURCE_CLOSED)

    # Steps

    def _run(self, recording: Egress) -> None:
        """STARTING -> ACTIVE, once there is something to record."""
        if recording.order is not None and recording.order.after_ms is None and self._order_first(recording):
            return
        if recording.tracks and not any(tracks_of(self._world, recording)):
            self._end(recording, EgressMove.FAIL, f"track {recording.tracks[0]} not found", 404)
            return
        if recording.identity and not is_publishing(self._world, recording):
            recording.waits = True
            return
        self._send_recorder(recording)
        if recording.is_over:
            return
        now_ms, info = self._world.now_ms, recording.info
        info.status = EGRESS.after(info.status, EgressMove.RUN)
        info.started_at = now_ms * NS_PER_MS
        words, extension = words_of(self._world, recording), extension_of(self._world, recording)
        results.begin(info, recording.wanted, words, extension, now_ms)
        self._updated(recording)
        if recording.order is not None:
            self._world.timers.set(("order", info.egress_id), now_ms + (recording.order.after_ms or 0))

    def _order_first(self, recording: Egress) -> bool:
        """Whether the order is followed before the recording runs."""
        assert recording.order is not None
        if recording.order.kind not in (OrderKind.FAIL, OrderKind.ABORT):
            return False
        self._follow(recording, recording.order.kind)
        return True

    def _follow(self, recording: Egress, kind: OrderKind) -> None:
        egress_id = recording.info.egress_id
        match kind:
            case OrderKind.FAIL:
                self.fail(egress_id, "failed as ordered")
            case OrderKind.ABORT:
                self.abort(egress_id)
            case OrderKind.LIMIT if recording.info.status == EgressStatus.EGRESS_ACTIVE:
                self.reach_limit(egress_id)
            case OrderKind.LIMIT | OrderKind.EMPTY | OrderKind.STUCK:
                pass  # an empty one ends when it is stopped, and is empty then

    def _stop(self, recording: Egress, reason: str) -> None:
        if recording.info.status == EgressStatus.EGRESS_STARTING:
            self._end(recording, EgressMove.STOP, "Stop called before pipeline could start", 412)
            return
        recording.info.status = EGRESS.after(recording.info.status, EgressMove.STOP)
        recording.info.details = f"End reason: {reason}"
        self._updated(recording)
        self._dismiss_recorder(recording)
        self._wait(recording, self._world.settings.egress_end_ms)

    def _stop_if_running(self, recording: Egress) -> None:
        if recording.info.status == EgressStatus.EGRESS_ACTIVE:
            self._stop(recording, SOURCE_CLOSED)

    def _end(self, recording: Egress, move: EgressMove, error: str = "", error_code: int = 0) -> None:
        """Over: ``egress_ended``."""
        world, info = self._world, recording.info
        info.status = EGRESS.after(info.status, move)
        info.error, info.error_code = error, error_code
        info.ended_at = info.updated_at = world.now_ms * NS_PER_MS
        if move in (EgressMove.FINISH, EgressMove.LIMIT):
            is_empty = recording.order is not None and recording.order.kind == OrderKind.EMPTY
            results.finish(info, recording.wanted, world.now_ms, is_empty=is_empty)
        else:
            results.break_off(info, world.now_ms, error)
        self._forget_room_of(recording)
        world.timers.cancel(("order", info.egress_id))
        self._dismiss_recorder(recording)
        world.happened(world.builder.egress_ended(info), recording.webhooks)
        self._wait(recording, world.settings.egress_kept_ms)

    def _updated(self, recording: Egress) -> None:
        recording.info.updated_at = self._world.now_ms * NS_PER_MS
        self._world.happened(self._world.builder.egress_updated(recording.info), recording.webhooks)

    # The recorder in the room

    def _send_recorder(self, recording: Egress) -> None:
        info = recording.info
        room = self._world.rooms.get(info.room_name)
        if room is None:
            return
        joining = Joining(
            room=info.room_name,
            identity=info.egress_id,
            permission=RECORDER_RIGHTS,
            kind=models.ParticipantInfo.EGRESS,
            listens=False,
        )
        try:
            recording.recorder_sid = self._participants.join(joining).participant.sid
        except Refused as refused:
            self._end(recording, EgressMove.FAIL, refused.message, refused.http_status)
            return
        self._participants.welcome(recording.recorder_sid)
        self._participants.connect(recording.recorder_sid)

    def _dismiss_recorder(self, recording: Egress) -> None:
        sid, recording.recorder_sid = recording.recorder_sid, ""
        self._participants.leave(sid)

    # Bookkeeping

    def _remember(self, recording: Egress) -> None:
        if len(self._all) >= self._world.settings.egresses_max:
            oldest = next((one for one in self._all.values() if one.is_over), None)
            if oldest is None:
                raise Refused(Code.RESOURCE_EXHAUSTED, f"{len(self._all)} recordings run already")
            self._world.timers.cancel(("egress", oldest.info.egress_id))
            del self._all[oldest.info.egress_id]
        self._all[recording.info.egress_id] = recording
        if recording.info.room_name:
            self._by_room.setdefault(recording.info.room_name, {})[recording.info.egress_id] = recording

    def _forget_room_of(self, recording: Egress) -> None:
        name = recording.info.room_name
        running = self._by_room.get(name, {})
        running.pop(recording.info.egress_id, None)
        if not running:
            self._by_room.pop(name, None)

    def _of(self, room: Room) -> tuple[Egress, ...]:
        """Its recordings that are not over."""
        return tuple(self._by_room.get(room.info.name, {}).values())

    def _wait(self, recording: Egress, delay_ms: int) -> None:
        """Its next step comes after ``delay_ms``."""
        self._world.timers.set(("egress", recording.info.egress_id), self._world.now_ms + delay_ms)

    def _get(self, egress_id: str) -> Egress:
        if egress_id not in self._all:
            raise no_egress()
        return self._all[egress_id]

    def _running(self, egress_id: str, move: EgressMove, what: str) -> Egress:
        """The recording, if the move is open to it; ``what`` is asked of it."""
        recording = self._get(egress_id)
        if not EGRESS.allows(recording.info.status, move):
            status = EgressStatus.Name(recording.info.status)
            raise Refused(Code.FAILED_PRECONDITION, f"egress with status {status} cannot {what}")
        return recording

    def _start_by_itself(self, request: Request, room: Room) -> None:
        """A recording that nobody asked for by API: where it cannot be, LiveKit tells of its end alone."""
        try:
            self.start(request)
        except Refused as refused:
            info = EgressInfo(
                room_id=room.info.sid,
                room_name=room.info.name,
                status=EgressStatus.EGRESS_FAILED,
                error=refused.message,
                error_code=refused.http_status,
            )
            self._world.happened(self._world.builder.egress_ended(info))
