"""Realistic webhook bodies, one for every event type, written as LiveKit's server writes them.

They are plain JSON, made without protobuf. Equal arguments give equal bytes, and ids follow from names: the room
``demo`` has the same sid in every sample, so that samples put one after another tell one story.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from roombell.errors import UsageError
from roombell.events import EVENT_TYPES

CREATED_AT: Final = 1_789_411_342
"""The time of a sample that is given none: 2026-09-14, unix seconds."""

_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ID_CHARS: Final = 12
_RECORDED_S: Final = 60

Json = dict[str, object]


def sample(
    event_type: str,
    *,
    room: str = "demo",
    identity: str = "alice",
    id: str = "",  # noqa: A002 - the name it has in the event
    created_at: int = CREATED_AT,
) -> bytes:
    """The body of a webhook as a LiveKit server would send it.

    :param event_type: one of ``EVENT_TYPES``.
    :param room: the room's name.
    :param identity: whose event it is; the participant's name is the identity with a capital.
    :param id: the event's id; when empty it follows from the other arguments.
    :param created_at: unix seconds; the times inside the event fit to it.
    :raises UsageError: there is no sample for ``event_type``.
    """
    parts = _PARTS.get(event_type)
    if parts is None:
        raise UsageError(f"There is no sample of {event_type!r}; there is of: {', '.join(EVENT_TYPES)}.")
    body: Json = {"event": event_type}
    body |= parts(event_type, room, identity, created_at)
    body["id"] = id or resource_id("EV_", f"{event_type}/{room}/{identity}/{created_at}")
    body["createdAt"] = str(created_at)
    reason = body.pop("roomEndReason", None)  # declared last, after createdAt
    return msgspec.json.encode(body if reason is None else body | {"roomEndReason": reason})


def resource_id(prefix: str, name: str) -> str:
    """The id that samples give to what is called ``name``: LiveKit's form, and always the same."""
    number = int.from_bytes(hashlib.sha256(f"{prefix}{name}".encode()).digest(), "big")
    characters: list[str] = []
    for _ in range(_ID_CHARS):
        number, index = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[index])
    return prefix + "".join(characters)


def _room(room: str, at: int, participants: int = 0) -> Json:
    told: Json = {
        "sid": resource_id("RM_", room),
        "name": room,
        "emptyTimeout": 300,
        "departureTimeout": 20,
        "creationTime": str(at),
        "creationTimeMs": str(at * 1000 + 287),
        "turnPassword": "not-a-secret-" + resource_id("", room),
        "enabledCodecs": [{"mime": mime} for mime in ("audio/opus", "audio/red", "video/VP8", "video/H264")],
    }
    return told | ({"numParticipants": participants} if participants else {})


def _participant(room: str, identity: str, at: int, state: str) -> Json:
    return {
        "sid": resource_id("PA_", f"{room}/{identity}"),
        "identity": identity,
        "state": state,
        "joinedAt": str(at),
        "joinedAtMs": str(at * 1000 + 512),
        "name": identity.capitalize(),
        "version": 2,
        "permission": {
            "canSubscribe": True,
            "canPublish": True,
            "canPublishData": True,
            "canUpdateMetadata": True,
        },
    }


def _room_started(_event_type: str, room: str, _identity: str, at: int) -> Json:
    return {"room": _room(room, at)}


def _room_finished(_event_type: str, room: str, _identity: str, at: int) -> Json:
    return {"room": _room(room, at), "roomEndReason": "ROOM_END_IDLE_TIMEOUT"}


def _participant_joined(_event_type: str, room: str, identity: str, at: int) -> Json:
    return {"room": _room(room, at, 1), "participant": _participant(room, identity, at, "ACTIVE")}


def _participant_left(event_type: str, room: str, identity: str, at: int) -> Json:
    left = event_type == "participant_left"
    gone = {"disconnectReason": "CLIENT_INITIATED" if left else "CONNECTION_TIMEOUT"}
    return {"room": _room(room, at), "participant": _participant(room, identity, at, "DISCONNECTED") | gone}


def _track(_event_type: str, room: str, identity: str, at: int) -> Json:
    whose: Json = {
        "sid": resource_id("PA_", f"{room}/{identity}"),
        "identity": identity,
        "name": identity.capitalize(),
    }
    track: Json = {
        "sid": resource_id("TR_", f"{room}/{identity}"),
        "name": "microphone",
        "source": "MICROPHONE",
        "mimeType": "audio/red",
        "mid": "0",
        "codecs": [{"mimeType": "audio/red", "mid": "0", "cid": "a769975c-cf87-480a-b18a-4c4732cfacae"}],
        "stream": "camera",
        "version": {"unixMicro": str(at * 1_000_000 + 526_591)},
        "audioFeatures": ["TF_ECHO_CANCELLATION", "TF_NOISE_SUPPRESSION"],
        "backupCodecPolicy": "SIMULCAST",
    }
    return {"room": {"sid": resource_id("RM_", room), "name": room}, "participant": whose, "track": track}


def _egress(event_type: str, room: str, _identity: str, at: int) -> Json:
    where: Json = {"sid": resource_id("RM_", room), "name": room}
    path = f"recordings/{room}.mp4"
    output: Json = {
        "filepath": path,
        "s3": {"accessKey": "{access_key}", "secret": "{secret}", "region": "eu-west-1", "bucket": "calls"},
    }
    info: Json = {
        "egressId": resource_id("EG_", room),
        "roomId": resource_id("RM_", room),
        "roomName": room,
        **_egress_progress(event_type, at),
        "roomComposite": {"roomName": room, "layout": "speaker", "fileOutputs": [output]},
        **(_egress_result(path, at) if event_type == "egress_ended" else {}),
    }
    return {"room": where, "egressInfo": info}


def _egress_progress(event_type: str, at: int) -> Json:
    if event_type == "egress_started":
        return {"updatedAt": _ns(at)}  # EGRESS_STARTING is the default: no status at all
    if event_type == "egress_updated":
        return {"status": "EGRESS_ACTIVE", "startedAt": _ns(at), "updatedAt": _ns(at)}
    return {
        "status": "EGRESS_COMPLETE",
        "startedAt": _ns(at - _RECORDED_S),
        "endedAt": _ns(at),
        "updatedAt": _ns(at),
    }


def _egress_result(path: str, at: int) -> Json:
    file: Json = {
        "filename": path,
        "startedAt": _ns(at - _RECORDED_S),
        "endedAt": _ns(at),
        "duration": str(_RECORDED_S * 1_000_000_000),
        "size": "6194109",
        "location": f"https://calls.s3.eu-west-1.amazonaws.com/{path}",
    }
    return {"fileResults": [file], "details": "End reason: Source closed", "file": file}


def _ingress(event_type: str, room: str, identity: str, at: int) -> Json:
    ended = event_type == "ingress_ended"
    state: Json = {
        **({} if ended else {"status": "ENDPOINT_PUBLISHING"}),  # ENDPOINT_INACTIVE is the default
        "roomId": resource_id("RM_", room),
        "startedAt": _ns(at - _RECORDED_S if ended else at),
        **({"endedAt": _ns(at)} if ended else {}),
        "updatedAt": _ns(at),
        "resourceId": resource_id("RS_", room),
    }
    info: Json = {
        "ingressId": resource_id("IN_", f"{room}/{identity}"),
        "name": f"{identity}'s camera",
        "streamKey": "not-a-secret-" + resource_id("", identity),
        "url": "rtmp://ingress.example.com/x",
        "enableTranscoding": True,
        "roomName": room,
        "participantIdentity": identity,
        "participantName": identity.capitalize(),
        "reusable": True,
        "state": state,
        "enabled": True,
    }
    return {"room": {"name": room}, "ingressInfo": info}


_JOB_STATUS: Final = {
    "agent_job_pending": "",  # JS_PENDING is the default
    "agent_job_started": "JS_RUNNING",
    "agent_job_ended": "JS_SUCCESS",
}


def _job(event_type: str, room: str, _identity: str, at: int) -> Json:
    status = _JOB_STATUS[event_type]
    state: Json = {
        **({"status": status, "startedAt": _ns(at)} if status else {}),
        **({"endedAt": _ns(at)} if event_type == "agent_job_ended" else {}),
        "updatedAt": _ns(at),
        "workerId": resource_id("AW_", "worker"),
    }
    job: Json = {
        "id": resource_id("AJ_", room),
        "dispatchId": resource_id("AD_", room),
        "room": _room(room, at, 1),
        "agentName": "receptionist",
        "state": state,
    }
    return {"job": job}


def _ns(at: int) -> str:
    return str(at * 1_000_000_000 + 605_577_585)


_PARTS: Final[dict[str, Callable[[str, str, str, int], Json]]] = {
    "room_started": _room_started,
    "room_finished": _room_finished,
    "participant_joined": _participant_joined,
    "participant_left": _participant_left,
    "participant_connection_aborted": _participant_left,
    "track_published": _track,
    "track_unpublished": _track,
    "egress_started": _egress,
    "egress_updated": _egress,
    "egress_ended": _egress,
    "ingress_started": _ingress,
    "ingress_ended": _ingress,
    "agent_job_pending": _job,
    "agent_job_started": _job,
    "agent_job_ended": _job,
}
