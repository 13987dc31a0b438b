"""The one door to ``livekit-protocol``, which is an extra: it is imported when it is first asked for.

``encode`` writes what LiveKit's server writes: protojson with the keys in the order of the proto's declaration, where
Python's own encoder goes by field numbers. Receivers must not care, and people who compare by eye do.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from roombell.errors import EventError, UsageError

if TYPE_CHECKING:
    from google._upb import _message as upb
    from google.protobuf import descriptor as pure
    from google.protobuf.message import Message
    from livekit.protocol import webhook


def message_class() -> type[webhook.WebhookEvent]:
    """LiveKit's ``WebhookEvent``.

    :raises UsageError: ``livekit-protocol`` is not installed.
    """
    try:
        from livekit.protocol import webhook
    except ImportError as error:
        raise UsageError(
            f"This needs LiveKit's protobuf messages, and livekit-protocol cannot be imported ({error}). "
            "Install it with: pip install 'roombell[protobuf]'"
        ) from error
    return webhook.WebhookEvent


def decode(raw: bytes) -> webhook.WebhookEvent:
    """The official message in the JSON ``raw``; fields and enum values it does not know are ignored.

    :raises UsageError: ``livekit-protocol`` is not installed.
    :raises EventError: ``raw`` is no JSON form of the message.
    """
    message = message_class()()
    from google.protobuf import json_format

    try:
        return json_format.Parse(raw, message, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError) as error:
        # Not chained: protobuf's words quote the value, which may be a secret.
        raise EventError(
            "The event is not what LiveKit's schema says: some field has a value of a type that livekit-protocol does "
            f"not expect ({type(error).__name__}). Is the sender newer than the installed package?"
        ) from None


def encode(message: Message) -> bytes:
    """LiveKit's JSON form of a message.

    lowerCamelCase, 64-bit integers as strings, enums by name, defaults left out, maps sorted, compact, UTF-8.
    """
    from google.protobuf import json_format

    return msgspec.json.encode(_in_order(json_format.MessageToDict(message), message.DESCRIPTOR))


def _in_order(value: object, descriptor: pure.Descriptor | upb.Descriptor) -> object:
    # A well-known type, as a Timestamp, has a JSON form that does not go by its fields.
    if not isinstance(value, dict) or descriptor.full_name.startswith("google.protobuf."):
        return value
    return {
        name: _member(value[name], kind, is_map=is_map) for name, kind, is_map in _declared(descriptor) if name in value
    }


@cache
def _declared(
    descriptor: pure.Descriptor | upb.Descriptor,
) -> tuple[tuple[str, pure.Descriptor | upb.Descriptor | None, bool], ...]:
    """The fields of a message in order: the name in JSON, the message that it holds, and whether it is a map. Asking
    protobuf takes longer than all the rest, and there are as many answers as there are kinds of messages.
    """
    return tuple(
        (field.json_name, field.message_type, bool(field.message_type and field.message_type.GetOptions().map_entry))
        for field in descriptor.fields
    )


def _member(value: object, kind: pure.Descriptor | upb.Descriptor | None, *, is_map: bool) -> object:
    if kind is None:
        return value
    if is_map:
        return dict(sorted(value.items())) if isinstance(value, dict) else value
    if isinstance(value, list):
        return [_in_order(item, kind) for item in value]
    return _in_order(value, kind)
