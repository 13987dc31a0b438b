"""What a room server refuses, in LiveKit's words: the Twirp code, its HTTP status, and the sentence clients know.

Source: ``pkg/service/errors.go`` and ``pkg/rtc/errors.go`` of livekit/livekit; the statuses are those of the Twirp
specification, version 7.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from roombell.errors import PeerError


class Code(StrEnum):
    """The Twirp codes that are used here."""

    INVALID_ARGUMENT = "invalid_argument"
    MALFORMED = "malformed"
    NOT_FOUND = "not_found"
    BAD_ROUTE = "bad_route"
    ALREADY_EXISTS = "already_exists"
    PERMISSION_DENIED = "permission_denied"
    UNAUTHENTICATED = "unauthenticated"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    FAILED_PRECONDITION = "failed_precondition"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"


STATUS_BY_CODE: Final = {
    Code.INVALID_ARGUMENT: 400,
    Code.MALFORMED: 400,
    Code.NOT_FOUND: 404,
    Code.BAD_ROUTE: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 412,
    Code.DEADLINE_EXCEEDED: 408,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
}


class Refused(PeerError):
    """The request cannot be done. Nothing of it was.

    ``refusal`` is the Twirp code, ``http_status`` the status that goes with it.
    """

    code = "refused"

    def __init__(self, refusal: Code, message: str) -> None:
        self.refusal = refusal
        self.http_status = STATUS_BY_CODE[refusal]
        self.message = message
        super().__init__(message)


def no_room() -> Refused:
    return Refused(Code.NOT_FOUND, "requested room does not exist")


def no_participant() -> Refused:
    return Refused(Code.NOT_FOUND, "participant does not exist")


def no_track() -> Refused:
    return Refused(Code.NOT_FOUND, "track is not found")


def no_egress() -> Refused:
    return Refused(Code.NOT_FOUND, "egress does not exist")


def no_ingress() -> Refused:
    return Refused(Code.NOT_FOUND, "ingress does not exist")


def not_allowed() -> Refused:
    return Refused(Code.PERMISSION_DENIED, "permissions denied")
