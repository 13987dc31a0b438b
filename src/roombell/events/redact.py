"""What LiveKit hides of a recording's request before it tells anybody of it.

Source: ``egress/redact.go`` and ``utils/redact.go`` of livekit/protocol: credentials become their name in braces, and
of an RTMP address' stream key only the ends are left. The proxy's password is hidden here too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from google.protobuf.message import Message

_RTMP: Final = re.compile(r"(rtmps?://.+/)([^/\s]+)( live=1)?")


def redact(message: Message) -> None:
    """Hides the secrets in ``message`` and in all that it holds, in place. Doing it twice changes nothing more."""
    hidden = _HIDDEN.get(message.DESCRIPTOR.full_name, {})
    for field, value in message.ListFields():
        if field.name in hidden:
            hide = hidden[field.name]
            if isinstance(value, str):
                setattr(message, field.name, hide(value))
            else:
                value[:] = [hide(item) for item in value]
        elif field.message_type is not None:
            # A map yields its keys, which are no messages, and LiveKit's maps hold none.
            for child in (value,) if isinstance(value, Message) else value:
                if isinstance(child, Message):
                    redact(child)


def _by(placeholder: str) -> Callable[[str], str]:
    return lambda _: placeholder


def _masked(url: str) -> str:
    match = _RTMP.fullmatch(url)
    if match is None:
        return url
    address, key, live = match.groups(default="")
    if key.startswith("{") and key.endswith("}"):
        return url
    shown = min(3, len(key) // 3)
    return f"{address}{{{key[:shown]}...{key[len(key) - shown :]}}}{live}"


_HIDDEN: Final[dict[str, dict[str, Callable[[str], str]]]] = {
    "livekit.S3Upload": {
        "access_key": _by("{access_key}"),
        "secret": _by("{secret}"),
        "session_token": _by("{session_token}"),
        "assume_role_external_id": _by("{external_id}"),
    },
    "livekit.ProxyConfig": {"password": _by("{password}")},
    "livekit.GCPUpload": {"credentials": _by("{credentials}")},
    "livekit.AzureBlobUpload": {"account_name": _by("{account_name}"), "account_key": _by("{account_key}")},
    "livekit.AliOSSUpload": {"access_key": _by("{access_key}"), "secret": _by("{secret}")},
    "livekit.StreamOutput": {"urls": _masked},
    "livekit.StreamDestination": {"url": _masked},
    "livekit.StreamInfo": {"url": _masked},
}
