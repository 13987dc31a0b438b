"""An endpoint's URL, read once and strictly.

A URL comes from a person, so every refusal names what is wrong and the mend. It may carry secrets in its path and
query, so no error shows more of it than scheme, host and port.

The path and the query are sent as they were written: no dot segments are resolved and no escapes rewritten, since the
receiver may have signed or routed them as they are. Characters outside ASCII are the one exception: they become UTF-8
percent escapes, as they do in every browser.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import quote

import msgspec

from roombell.errors import UsageError

URL_CHARS_MAX: Final = 4096
"""The longest URL that is taken; most servers refuse longer request lines."""

_PORTS: Final = {"http": 80, "https": 443}
_HOST_CHARS_MAX: Final = 253
_PORT_MAX: Final = 65535

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?P<fragment>#.*)?"
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[^:]*))?")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f\\]|\s")


class EndpointUrlError(UsageError):
    """A URL cannot be sent to. The message says what is wrong with it and how to mend it."""

    status = 400
    code = "endpoint_url"


class EndpointUrl(msgspec.Struct, frozen=True):
    """Where an endpoint is. Its representation hides the path and the query: they may hold secrets."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    """What TLS checks the certificate against: a name in ASCII (punycode) without final dot, or an IP address."""
    port: int
    target: str
    """Path and query as they go into the request line; begins with ``/``."""
    name_to_resolve: str
    """``host`` with its final dot, where one was given: it keeps the resolver from trying search domains."""

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    @property
    def host_header(self) -> str:
        """The value of ``Host``: the port stands in it only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def authority(self) -> str:
        """Host and port, as a proxy is told them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port: what may be shown in logs and errors."""
        return f"{self.scheme}://{self.host_header}"

    def __repr__(self) -> str:
        return f"<EndpointUrl {self.origin}>"


def parse_url(text: str) -> EndpointUrl:
    """Reads an endpoint's URL.

    :raises EndpointUrlError: it is not an absolute http or https URL that a webhook can be posted to.
    """
    match = _URL.fullmatch(_plain(text))
    if match is None:
        raise EndpointUrlError(
            "The URL is not absolute: write it with scheme and host, as https://app.example.com/hook."
        )
    scheme = match["scheme"].lower()
    if scheme not in _PORTS:
        raise EndpointUrlError(f"The URL's scheme is {scheme!r}; webhooks go to http or https.")
    if match["fragment"] is not None:
        raise EndpointUrlError("The URL has a fragment ('#...'); fragments are never sent: leave it out.")
    name, port = _authority(match["authority"], scheme)
    target = quote(match["target"], safe=_ASCII)
    return EndpointUrl(
        scheme=scheme,
        host=name.removesuffix("."),
        port=port,
        target=target if target.startswith("/") else f"/{target}",
        name_to_resolve=name,
    )


def _plain(text: str) -> str:
    if not isinstance(text, str):
        raise EndpointUrlError(f"A URL must be text; {type(text).__name__} was given.")
    if not text:
        raise EndpointUrlError("The URL is empty.")
    if len(text) > URL_CHARS_MAX:
        raise EndpointUrlError(f"The URL has {len(text)} characters; the limit is {URL_CHARS_MAX}.")
    if found := _FORBIDDEN.search(text):
        raise EndpointUrlError(
            f"The URL has the character {found[0]!r} at position {found.start()}: percent-encode it or leave it out."
        )
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise EndpointUrlError("The URL is not valid Unicode text.")
    return text


def _authority(authority: str, scheme: str) -> tuple[str, int]:
    if "@" in authority:
        raise EndpointUrlError(
            "The URL carries a user name or password before '@': put credentials into the endpoint's headers instead."
        )
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise EndpointUrlError(
            "The URL's host is malformed; an IPv6 address stands in brackets, as http://[::1]:8080/."
        )
    return _host(match["host"]), _port(match["port"], scheme)


def _port(text: str | None, scheme: str) -> int:
    if not text:
        return _PORTS[scheme]
    if text.isascii() and text.isdigit() and len(text) <= len(str(_PORT_MAX)) and 1 <= int(text) <= _PORT_MAX:
        return int(text)
    raise EndpointUrlError(f"The URL's port is {text!r}; a port is a number from 1 to {_PORT_MAX}.")


def _host(text: str) -> str:
    if text.startswith("["):
        return _ipv6(text[1:-1])
    name = _ascii_name(text).lower()
    stem = name.removesuffix(".")
    if not stem:
        raise EndpointUrlError("The URL has no host.")
    if len(stem) > _HOST_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in stem.split(".")):
        raise EndpointUrlError(f"The URL's host {text!r} is not a host name.")
    return name


def _ipv6(text: str) -> str:
    if "%" in text:
        raise EndpointUrlError("The URL's IPv6 address has a zone ('%...'), which has a meaning on one machine only.")
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise EndpointUrlError(f"The URL's host [{text}] is not an IPv6 address.") from None


def _ascii_name(text: str) -> str:
    """The name in ASCII. Names in other scripts become punycode by the standard library's IDNA (RFC 3490)."""
    if text.isascii():
        return text
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        raise EndpointUrlError(
            f"The URL's host {text!r} cannot be written as an internationalised domain name."
        ) from None


_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
