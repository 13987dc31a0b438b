"""Takes out of an answer's body what the request told in confidence: error pages repeat requests, and their first
bytes are kept for people to read.

What is looked for is what was sent, as it was sent: the tokens, the values of the operator's own headers, and what in
the URL does not look like a plain word. A body that encodes them anew gives them away; to be sure of that, nothing of
any body could be kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from roombell.transport.proxy import Proxy
from roombell.transport.url import EndpointUrl

SECRET_CHARS_MIN: Final = 6
"""What is shorter is no secret, and would be found in the middle of words."""

_HIDDEN: Final = b"[hidden]"
_PLAIN_WORD: Final = re.compile(r"[a-z][a-z._-]{0,23}|v[0-9]{1,2}")


def secrets_of(url: EndpointUrl, headers: Iterable[tuple[str, str]], proxy: Proxy | None) -> tuple[bytes, ...]:
    """What is confidential in every request to an endpoint.

    :param proxy: the one that gets the request whole, and so could repeat its own credentials.
    """
    return tuple(value.encode("ascii") for value in _values(url, headers, proxy) if len(value) >= SECRET_CHARS_MIN)


def hidden(text: bytes, secrets: Iterable[bytes]) -> bytes:
    """``text`` without the secrets; one that is cut off at its end is hidden too."""
    for secret in sorted(secrets, key=len, reverse=True):  # one may be a part of another
        text = text.replace(secret, _HIDDEN)
        for length in range(min(len(secret) - 1, len(text)), SECRET_CHARS_MIN - 1, -1):
            if text.endswith(secret[:length]):
                text = text[:-length] + _HIDDEN
                break
    return text


def _values(url: EndpointUrl, headers: Iterable[tuple[str, str]], proxy: Proxy | None) -> Iterator[str]:
    yield from (value for _, value in headers)
    yield from (part for part in re.split(r"[/?&=;]", url.target) if not _PLAIN_WORD.fullmatch(part))
    if proxy is not None:
        yield proxy.authorization.removeprefix("Basic ")
