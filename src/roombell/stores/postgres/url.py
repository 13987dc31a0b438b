"""A store's URL: libpq's form, with a few parameters of our own. Pure, and knows no driver."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import msgspec

from roombell.errors import UsageError

SCHEMES: Final = ("postgresql", "postgres")
POOL_SIZE_DEFAULT: Final = 5
POOL_SIZE_MAX: Final = 100
PORT_MAX: Final = 65_535
_ESCAPES: Final = "in a user or password '#' is written %23, '/' %2F, '?' %3F, '@' %40 and ':' %3A"
_OURS: Final = ("pool_size", "listen")
_THEIRS: Final = (
    "sslmode",
    "sslcert",
    "sslkey",
    "sslrootcert",
    "sslcrl",
    "sslpassword",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "target_session_attrs",
    "passfile",
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "database",
    "krbsrvname",
    "gsslib",
    "service",
    "servicefile",
)
"""What the driver takes; everything else would be sent to the server, which a pooler refuses."""


class PostgresUrl(msgspec.Struct, frozen=True):
    """Where the database is. Its representation shows no password."""

    dsn: str
    """What the driver connects to."""
    listen_dsn: str
    """What LISTEN connects to: the same, unless a pooler stands before the database."""
    pool_size: int = POOL_SIZE_DEFAULT
    """Connections that this process uses at once, one for LISTEN besides."""
    pooled: bool = False
    """A pooler stands in between: what belongs to a session is not used."""

    @property
    def where(self) -> str:
        """The database, for messages: no user, no password."""
        parts = urlsplit(self.dsn)
        hosts = parts.netloc.rpartition("@")[2] or "the local PostgreSQL"
        database = unquote(parts.path.lstrip("/"))
        return f"PostgreSQL at {hosts}, database {database}," if database else f"PostgreSQL at {hosts}"

    def __repr__(self) -> str:
        return f"<PostgresUrl {masked(self.dsn)}>"


def parse_url(url: str) -> PostgresUrl:
    """What a ``postgresql://`` URL names.

    Besides the driver's parameters it takes ``pool_size=N`` and, where a pooler in transaction mode stands before the
    database, ``listen=HOST:PORT``: the database's own address, for LISTEN alone.

    :raises UsageError: it cannot be read; the message says what was expected and shows no password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UsageError("the URL cannot be read; write postgresql://user:password@host:5432/database") from None
    if parts.scheme not in SCHEMES or not url.startswith(f"{parts.scheme}://"):
        raise UsageError("expected postgresql://user:password@host:5432/database")
    _check_authority(parts)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = [name for name in given if name not in _OURS and name not in _THEIRS]
    if unknown:
        raise UsageError(f"unknown parameter {unknown[0]!r}; there are {', '.join(_OURS)} and libpq's, as sslmode")
    theirs = {name: value for name, value in given.items() if name in _THEIRS}
    hosts = parts.netloc.rpartition("@")[2]
    if "," in hosts:
        theirs.setdefault("target_session_attrs", "read-write")
    dsn = _with(url, parts.netloc, theirs)
    listen = given.get("listen", "")
    return PostgresUrl(
        dsn=dsn,
        listen_dsn=_with(url, _netloc(parts.netloc, listen), theirs) if listen else dsn,
        pool_size=_pool_size(given.get("pool_size", str(POOL_SIZE_DEFAULT))),
        pooled=bool(listen),
    )


def masked(url: str) -> str:
    """The URL with its password hidden."""
    scheme, slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    user, colon, _ = credentials.partition(":")
    shown = f"{scheme}{slashes}{user}{':***' if colon else ''}{at}{hosts}{slash}{path}"
    name, mark, query = shown.partition("?")
    pairs = [(key, "***" if "password" in key else value) for key, value in parse_qsl(query, keep_blank_values=True)]
    return f"{name}{mark}{urlencode(pairs, safe='*:,/')}"


def _check_authority(parts: SplitResult) -> None:
    """:raises UsageError: what stands between ``//`` and the database is not what was meant; a password may be torn."""
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.fragment or any("@" in text for text in (parts.path, *names)):
        raise UsageError(_ESCAPES)
    for host in parts.netloc.rpartition("@")[2].split(","):
        port = host.rpartition("]")[2].partition(":")
        if port[1] and not (port[2].isdecimal() and 1 <= int(port[2]) <= PORT_MAX):
            raise UsageError(f"a port is a number from 1 to {PORT_MAX}; {_ESCAPES}")


def _with(url: str, netloc: str, query: dict[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(("postgresql", netloc, parts.path, urlencode(query), ""))


def _netloc(netloc: str, host_and_port: str) -> str:
    host, colon, port = host_and_port.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise UsageError("listen is HOST:PORT, the database's own address")
    credentials, at, _ = netloc.rpartition("@")
    return f"{credentials}{at}{host_and_port}"


def _pool_size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= POOL_SIZE_MAX:
        raise UsageError(f"pool_size is a number from 1 to {POOL_SIZE_MAX}")
    return int(text)
