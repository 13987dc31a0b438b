"""The one door to ``livekit-protocol``, which is an extra: it is imported when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roombell.errors import EventError, UsageError

if TYPE_CHECKING:
    from livekit.protocol import webhook

_MISSING = (
    "This needs LiveKit's protobuf messages, and the package livekit-protocol cannot be imported ({error}). "
    "Install it with: pip install 'roombell[protobuf]'"
)


def decode(raw: bytes) -> webhook.WebhookEvent:
    """The official message in the JSON ``raw``.

    :raises UsageError: ``livekit-protocol`` is not installed.
    :raises EventError: ``raw`` is no JSON form of the message.
    """
    try:
        from google.protobuf import json_format
        from livekit.protocol import webhook
    except ImportError as error:
        raise UsageError(_MISSING.format(error=error)) from error
    try:
        return json_format.Parse(raw, webhook.WebhookEvent(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise EventError(
            "The event is not what LiveKit's schema says: a field has a value of another type than "
            f"livekit-protocol knows ({type(error).__name__}). Is the sender newer than the installed package?"
        ) from error
