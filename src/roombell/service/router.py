"""Which handler answers a request: exact paths, no patterns."""

from __future__ import annotations

from collections.abc import Mapping

from roombell.service.messages import Early, Handler, Request, Response, error_response


class Target:
    """Where a request goes: the handlers by method, and what answers any other method."""

    __slots__ = ("early", "fallback", "handlers", "path", "query")

    def __init__(
        self, path: str, query: str, handlers: Mapping[str, Handler], fallback: Handler, early: Early | None = None
    ) -> None:
        self.path = path
        self.query = query
        self.handlers = handlers
        self.fallback = fallback
        self.early = early


class Router:
    """Paths and their routes. Complete before the server starts."""

    def __init__(self) -> None:
        self._targets: dict[bytes, Target] = {}

    def add(self, path: str, *, early: Early | None = None, **handlers: Handler) -> None:
        """Routes ``path``, a literal beginning with ``/``: ``add("/webhook", POST=handler)``.

        HEAD is answered as GET without the body, OPTIONS with the methods that are allowed, any other with a 405.
        """
        by_method = dict(handlers)
        if "GET" in by_method:
            by_method["HEAD"] = by_method["GET"]
        allow = ", ".join(sorted({*by_method, "OPTIONS"}))
        header = ((b"allow", allow.encode()),)
        by_method.setdefault("OPTIONS", lambda _: Response(204, headers=header))

        def not_allowed(request: Request) -> Response:
            message = f"{path} does not take {request.method}; it takes {allow}."
            return error_response(405, "method_not_allowed", message, header)

        self._targets[path.encode()] = Target(path, "", by_method, not_allowed, early)

    def find(self, method: str, raw: bytes) -> Target | None:
        """The target for what stood in the request line.

        None if it is in no form of RFC 9112, section 3.2 that a server takes: a path, an absolute ``http`` URL, or
        ``*`` for OPTIONS.
        """
        return self._targets.get(raw) or self._parse(method, raw)

    def _parse(self, method: str, raw: bytes) -> Target | None:
        if raw == b"*":
            return Target("*", "", {"OPTIONS": _server_options}, _not_found) if method == "OPTIONS" else None
        origin = raw if raw.startswith(b"/") else _origin_form(raw)
        if origin is None:
            return None
        path, _, query = origin.partition(b"#")[0].partition(b"?")
        known = self._targets.get(path)
        name, query_text = path.decode("latin-1"), query.decode("latin-1")
        if known is None:
            return Target(name, query_text, {}, _not_found)
        return Target(name, query_text, known.handlers, known.fallback, known.early)


def _origin_form(raw: bytes) -> bytes | None:
    """The path and query of an absolute URL; None if it is none, or names no host."""
    scheme, separator, rest = raw.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return None
    ends = [at for at in map(rest.find, (b"/", b"?", b"#")) if at >= 0]
    authority_bytes = min(ends, default=len(rest))
    authority, tail = rest[:authority_bytes], rest[authority_bytes:]
    if not authority or b"@" in authority:
        return None
    return tail if tail.startswith(b"/") else b"/" + tail


def _not_found(request: Request) -> Response:
    return error_response(404, "not_found", f"There is nothing at {request.path[:200]}.")


def _server_options(_request: Request) -> Response:
    """The answer to ``OPTIONS *``, which asks about the server as a whole (RFC 9110, section 9.3.7)."""
    return Response(204, headers=((b"allow", b"GET, HEAD, OPTIONS, POST"),))
