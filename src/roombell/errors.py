"""The whole error tree.

Three branches say whose fault it is: the caller's (``UsageError``, ``ConfigError``), the peer's (``PeerError``: what
came over the wire is wrong) or ours (``ServiceError``: the system cannot do its work now). Every error has a message
that names the input and the mend, carries its data as attributes, and hints at an HTTP status.
"""

from __future__ import annotations

from typing import ClassVar, Final


class RoombellError(Exception):
    """The root of every error that Roombell raises on purpose."""

    status: ClassVar[int] = 500
    """The HTTP status that tells this error best."""
    code: ClassVar[str] = "internal"
    """A stable word for metrics, logs and JSON answers."""


# The caller's fault


class UsageError(RoombellError):
    """Roombell's Python API was called in a way that cannot work."""

    status = 500
    code = "usage"


class ConfigError(RoombellError):
    """A setting is missing or wrong.

    :param message: what is wrong and what was expected.
    :param source: the file or the environment variable.
    :param line: the line in the file, from 1; 0 where there is none.
    :param key: the setting's path, as ``endpoints[0].timeout``.
    """

    code = "config"

    def __init__(self, message: str, *, source: str = "", line: int = 0, key: str = "") -> None:
        self.message, self.source, self.line, self.key = message, source, line, key
        where = f"{source}:{line}" if source and line else source
        super().__init__(": ".join(part for part in (where, key, message) if part))


# What a handler says, to the inbox that called it


_LATER_S_MAX: Final = 1e9


class GiveUp(RoombellError):
    """Raised by a handler: this event can never be handled. It is dead at once, and the next one's turn comes.

    :param reason: kept with the attempt.
    """

    status = 422
    code = "given_up"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class RetryLater(RoombellError):
    """Raised by a handler: it cannot be done now. It counts as an attempt, and the next one comes after ``after_s``
    seconds, or after the policy's longest delay if that is sooner.
    """

    status = 429
    code = "retry_later"

    def __init__(self, after_s: float, reason: str = "") -> None:
        self.after_s = min(max(0.0, after_s), _LATER_S_MAX)
        super().__init__(reason or f"It asks to be called again in {after_s:g} s.")


class AlreadyDone(RoombellError):
    """Raised by a transaction as it is entered: an earlier call of this handler for this event has committed it. Let it
    pass: to the inbox it means that the event is done.
    """

    status = 409
    code = "already_done"


class OutOfTime(RoombellError):
    """Raised by a transaction as it ends: the handler's time is over, the attempt counts as failed, and nothing was
    committed.
    """

    status = 504
    code = "out_of_time"


class HandlerFailed(RoombellError):
    """A handler of the user's raised an exception, which is the cause. Its text is shown in no answer."""

    code = "handler_failed"

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        super().__init__("A handler failed: the receiver's log says which and why.")


# The peer's fault


class PeerError(RoombellError):
    """What came over the wire is wrong; nothing of it was taken."""

    status = 400
    code = "bad_request"


class ReceiveError(PeerError):
    """A webhook was refused. ``status`` is what to answer, the message says why and what to mend."""


class EventError(ReceiveError):
    """The body is not a LiveKit webhook event."""

    status = 400
    code = "not_an_event"


class BodyTooLarge(ReceiveError):
    """The body is over the limit; it was not read to its end."""

    status = 413
    code = "body_too_large"

    def __init__(self, body_bytes_max: int) -> None:
        self.body_bytes_max = body_bytes_max
        super().__init__(f"The body is larger than the limit of {body_bytes_max} bytes.")


class BodyBrokenOff(ReceiveError):
    """The body could not be read to its end: the sender left, or it is not encoded as its headers say."""

    status = 400
    code = "body_broken_off"

    def __init__(self) -> None:
        super().__init__("The body could not be read to its end.")


class MethodNotAllowed(ReceiveError):
    """A webhook is a POST, and this was something else."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, method: str) -> None:
        self.method = method
        super().__init__("Webhooks are sent by POST: look at what called this URL.")


class LengthRequired(ReceiveError):
    """The body has no declared length, and the server beneath cannot read it without one."""

    status = 411
    code = "length_required"

    def __init__(self) -> None:
        super().__init__("This server reads no chunked bodies: send a Content-Length.")


class SignatureError(ReceiveError):
    """The webhook is not signed by one of our keys; the children in ``roombell.signing`` say how."""

    status = 401
    code = "signature"


# Ours


class ServiceError(RoombellError):
    """The system cannot do its work now."""

    status = 503
    code = "unavailable"


class Overloaded(ServiceError):
    """Load is beyond a bound; the event was not taken. Send it again after ``retry_after_s`` seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class Stopped(ServiceError):
    """The notifier is stopping or was never started."""

    code = "stopped"


class DeliverOnly(ServiceError):
    """This worker delivers and takes no events; another one does."""

    code = "deliver_only"

    def __init__(self) -> None:
        super().__init__(
            "This worker only delivers (--deliver-only). Send events to one that takes them, and leave this one out of "
            "the load balancer's pool for /webhook."
        )


class StoreError(ServiceError):
    """The store refused the work; nothing of it was written."""

    code = "store"


class StoreUnavailable(StoreError):
    """The store did not answer, so whether the work was written is unknown."""

    code = "store_unavailable"


class StoreFull(StoreError):
    """There is no room left to write."""

    code = "store_full"


class StoreReadOnly(StoreError):
    """The store's file or folder cannot be written."""

    code = "store_read_only"


class StoreCorrupt(StoreError):
    """The store's file is damaged or is no Roombell store."""

    code = "store_corrupt"


class StoreTooNew(StoreError):
    """The store was made by a newer version."""

    code = "store_too_new"


class StoreLocked(StoreError):
    """Another process has the store open."""

    code = "store_locked"
