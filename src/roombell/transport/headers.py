"""The request's headers.

Event ids come from whoever sent the event, and lane names from the store: neither is trusted to be harmless in a
header. Outside visible ASCII, and for ``%`` itself, their UTF-8 bytes are percent-encoded, so that no value can end
its line and ``urllib.parse.unquote`` gives the original back. LiveKit's own ids pass unchanged. The body, which is
signed, holds the id as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from roombell.errors import UsageError
from roombell.transport.proxy import Proxy
from roombell.transport.url import EndpointUrl

CONTENT_TYPE: Final = "application/webhook+json"
"""LiveKit's content type for webhooks since September 2022 (livekit/protocol, ``webhook/url_notifier.go``)."""

CUSTOM_HEADERS_MAX: Final = 64
CUSTOM_HEADER_CHARS_MAX: Final = 8_192
"""The longest name or value; most servers refuse header blocks beyond this."""

RESERVED_HEADERS: Final = frozenset(
    (
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    )
)
"""Headers that say how the message is framed, what it is or who sent it, in lower case."""

RESERVED_PREFIX: Final = "webhook-"
"""Standard Webhooks' names and our own."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2."""
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|")
_SAFE_VALUE: Final = re.compile(r"[!-$&-~]*")
_SAFE_CHARS: Final = "".join(char for char in map(chr, range(0x21, 0x7F)) if char != "%")


def header_safe(value: str) -> str:
    """``value`` as a header can carry it: one line of visible ASCII. Reversed by ``urllib.parse.unquote``."""
    if _SAFE_VALUE.fullmatch(value):
        return value
    return quote(value, safe=_SAFE_CHARS, errors="replace")


def check_custom_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Refuses headers that could not be sent, or that would overwrite the protocol's own.

    :raises UsageError: names the header and the mend; a value is never shown.
    """
    seen: set[str] = set()
    for name, value in headers:
        _check_name(name)
        if name.lower() in seen:
            raise UsageError(f"Header {name!r} is given twice: join the values into one.")
        seen.add(name.lower())
        if len(value) > CUSTOM_HEADER_CHARS_MAX or not _VALUE.fullmatch(value):
            raise UsageError(
                f"The value of header {name!r} cannot be sent: it may have up to {CUSTOM_HEADER_CHARS_MAX} printable "
                "ASCII characters, no line breaks, and no space at either end."
            )
    if len(seen) > CUSTOM_HEADERS_MAX:
        raise UsageError(f"There are {len(seen)} custom headers; the limit is {CUSTOM_HEADERS_MAX}.")


def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name) or len(name) > CUSTOM_HEADER_CHARS_MAX:
        raise UsageError(f"{name[:80]!r} is not a header name: use letters, digits and '-'.")
    lowered = name.lower().replace("_", "-")  # WSGI and CGI take both for the same
    if lowered in RESERVED_HEADERS or lowered.startswith(RESERVED_PREFIX):
        raise UsageError(f"Header {name!r} is set by the protocol and cannot be overwritten: choose another name.")


def fixed_head(
    url: EndpointUrl, user_agent: str, headers: Iterable[tuple[str, str]], *, handed_to: Proxy | None = None
) -> str:
    """The request line and the headers that are the same in every request to an endpoint.

    It ends within the line of ``Authorization``, where the token goes.

    :param handed_to: a proxy that is to pass the request on, told by the request itself where to.
    """
    if handed_to is not None and handed_to.authorization:
        headers = (("Proxy-Authorization", handed_to.authorization), *headers)
    lines = (
        f"POST {url.target if handed_to is None else url.origin + url.target} HTTP/1.1",
        f"Host: {url.host_header}",
        f"User-Agent: {user_agent}",
        f"Content-Type: {CONTENT_TYPE}",
        *(f"{name}: {value}" for name, value in headers),
        "Authorization: ",
    )
    return "\r\n".join(lines)
