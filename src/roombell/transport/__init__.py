"""Making attempts: one signed POST to an endpoint, and what came of it."""

from roombell.transport.guard import NetworkPolicy, Reach
from roombell.transport.http import HttpTransport
from roombell.transport.target import USER_AGENT, HttpLimits, HttpTarget
from roombell.transport.tls import TlsFileError, TlsSettings
from roombell.transport.url import EndpointUrl, EndpointUrlError, parse_url

__all__ = [
    "USER_AGENT",
    "EndpointUrl",
    "EndpointUrlError",
    "HttpLimits",
    "HttpTarget",
    "HttpTransport",
    "NetworkPolicy",
    "Reach",
    "TlsFileError",
    "TlsSettings",
    "parse_url",
]
