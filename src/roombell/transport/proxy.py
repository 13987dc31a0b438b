"""Forward proxies: which one, if any, stands before an endpoint, and whose fault it is when something fails there.

To an https endpoint the proxy opens a tunnel (``CONNECT``, RFC 9110, section 9.3.6), and what fails inside the tunnel
is the endpoint's. A request to an http endpoint is handed to the proxy whole, in absolute form (RFC 9112, section
3.2.2); there the proxy's own answers have to be told from the endpoint's by what they say.

LiveKit server sends its webhooks with Go's default transport, which obeys ``HTTP_PROXY``, ``HTTPS_PROXY`` and
``NO_PROXY``. The same rules are followed here (golang.org/x/net/http/httpproxy): the upper-case name comes before the
lower-case one, a value without scheme is an http proxy, and loopback addresses and ``localhost`` are never proxied.
"""

from __future__ import annotations

import binascii
import ipaddress
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from roombell.engine.model import FailureKind
from roombell.errors import UsageError
from roombell.transport.failures import Trouble
from roombell.transport.url import EndpointUrl, parse_url

PROXY_VARIABLES: Final = {"http": ("HTTP_PROXY", "http_proxy"), "https": ("HTTPS_PROXY", "https_proxy")}
NO_PROXY_VARIABLES: Final = ("NO_PROXY", "no_proxy")

_UNUSABLE: Final = (
    "The proxy's URL cannot be used: expected http://[user:password@]host:port, or https:// for TLS to it"
)
_AUTHENTICATION_REQUIRED: Final = 407
_GATEWAY_TROUBLE: Final = frozenset((502, 503, 504))


class Proxy(msgspec.Struct, frozen=True):
    """A forward proxy. Its representation hides the credentials."""

    url: EndpointUrl
    authorization: str
    """The value of ``Proxy-Authorization``; empty where the URL had no credentials."""

    def __repr__(self) -> str:
        return f"<Proxy {self.url.origin}>"


def parse_proxy(text: str) -> Proxy:
    """Reads a proxy's URL; one without scheme is an http proxy. Credentials in it are percent-decoded.

    :raises UsageError: it is none. The message shows nothing of it: it may hold a password.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    if scheme.lower().startswith("socks"):
        raise UsageError("The proxy's URL is a SOCKS proxy's: only http and https proxies are known here.")
    credentials, _, authority = rest.rpartition("@")
    try:
        url = parse_url(f"{scheme}://{authority}")
    except UsageError:
        # Not chained: the cause quotes parts of the URL.
        raise UsageError(f"{_UNUSABLE}.") from None
    if url.target != "/":
        raise UsageError(
            f"{_UNUSABLE}, without a path (is there an '@', '/' or '?' in the password? percent-encode it)."
        )
    return Proxy(url, _authorization(credentials))


def proxy_from_environment(url: EndpointUrl, environ: Mapping[str, str]) -> tuple[str, str]:
    """The variable that names a proxy for ``url``, and the proxy's URL; two empty texts where there is none."""
    name, proxy = _first(PROXY_VARIABLES[url.scheme], environ)
    if not proxy or _is_loopback(url.host) or _is_excepted(url, _first(NO_PROXY_VARIABLES, environ)[1]):
        return "", ""
    return name, proxy


def tunnel_request(proxy: Proxy, authority: str, user_agent: str) -> bytes:
    """The request that opens a tunnel to ``authority``: a host and a port."""
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", f"User-Agent: {user_agent}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join((*lines, "", "")).encode("ascii")


def tunnel_trouble(status: int, proxy: Proxy, origin: str) -> Trouble | None:
    """What the proxy's answer to ``CONNECT`` means; None for an open tunnel."""
    if status in range(200, 300):
        return None
    if status == _AUTHENTICATION_REQUIRED:
        return _wants_credentials(proxy)
    if status in _GATEWAY_TROUBLE:
        told = (
            f"{origin} cannot be reached: the proxy {proxy.url.origin} could not connect to it and answered {status}."
        )
        return Trouble(FailureKind.UNREACHABLE, told)
    told = f"The proxy {proxy.url.origin} opens no tunnel to {origin}: it answered {status}. Does it allow that host?"
    return Trouble(FailureKind.PROXY, told)


def answer_trouble(status: int, header: Callable[[bytes], str | None], proxy: Proxy, origin: str) -> Trouble | None:
    """Why an answer that came through the proxy in absolute form is the proxy's own; None if it is the endpoint's.

    A gateway error is the proxy's where it says so: by ``Proxy-Status`` (RFC 9209) or in Squid's way. One that says
    nothing is taken for the endpoint's.
    """
    if status == _AUTHENTICATION_REQUIRED:
        return _wants_credentials(proxy)
    if status in _GATEWAY_TROUBLE and ("error=" in (header(b"proxy-status") or "") or header(b"x-squid-error")):
        told = f"{origin} cannot be reached: the proxy {proxy.url.origin} answered {status} in its place."
        return Trouble(FailureKind.UNREACHABLE, told)
    return None


def _wants_credentials(proxy: Proxy) -> Trouble:
    what = "refused the credentials that it was given" if proxy.authorization else "wants credentials"
    told = f"The proxy {proxy.url.origin} {what} (407): put them into its URL, as http://user:password@host:port."
    return Trouble(FailureKind.PROXY, told)


def _authorization(credentials: str) -> str:
    if not credentials:
        return ""
    user, _, password = credentials.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {binascii.b2a_base64(pair, newline=False).decode()}"


def _first(names: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str, str]:
    return next(((name, environ[name]) for name in names if environ.get(name)), ("", ""))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_excepted(url: EndpointUrl, no_proxy: str) -> bool:
    return any(_matches(url, entry.strip().lower()) for entry in no_proxy.split(","))


def _matches(url: EndpointUrl, entry: str) -> bool:
    """Whether an entry of ``NO_PROXY`` names the host: ``*``, an address, a network, a domain, with or without port."""
    if not entry:
        return False
    if entry == "*":
        return True
    if "/" in entry:
        return _is_within(url.host, entry)
    host, port = _split_port(entry)
    if port and port != str(url.port):
        return False
    if _is_within(url.host, host):
        return True
    # `.example.com` and `*.example.com` name what is below the domain, `example.com` the domain too.
    domain = host.removeprefix("*")
    return url.host == domain or url.host.endswith(domain if domain.startswith(".") else f".{domain}")


def _split_port(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = entry.partition(":")
    return (entry, "") if ":" in port else (host, port)


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
