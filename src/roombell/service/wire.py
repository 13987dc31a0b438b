"""Responses as bytes."""

from __future__ import annotations

from email.utils import formatdate
from typing import Final

from roombell.service.messages import Response, reason_phrase

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_WITHOUT_BODY: Final = frozenset({204, 304})


class ResponseEncoder:
    """Writes responses. What is the same for all answers of one second is built once."""

    def __init__(self, now_ms: int) -> None:
        self._date = b""
        self._heads: dict[tuple[int, bytes], bytes] = {}
        self.set_time(now_ms)

    def set_time(self, now_ms: int) -> None:
        """The wall time for the ``Date`` header, UTC milliseconds since the epoch."""
        date = formatdate(now_ms // 1000, usegmt=True).encode()
        if date != self._date:
            self._date = date
            self._heads.clear()

    def encode(self, response: Response, *, http10: bool, last: bool, head_only: bool) -> bytes:
        """The whole response.

        :param http10: the client speaks HTTP/1.0, where staying open has to be said.
        :param last: the connection ends with this response.
        :param head_only: answers a HEAD request: no body, but its length.
        """
        body = response.body
        status = response.status
        head = self._heads.get((status, response.content_type)) or self._head(response)
        if not (http10 or last or head_only or response.headers or status in _WITHOUT_BODY):
            return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)
        parts = [head]
        parts += [b"%b: %b\r\n" % header for header in response.headers]
        if last:
            parts.append(b"connection: close\r\n")
        elif http10:
            parts.append(b"connection: keep-alive\r\n")
        if response.status not in _WITHOUT_BODY:
            parts.append(b"content-length: %d\r\n" % len(body))
        parts += (b"\r\n", b"" if head_only or response.status in _WITHOUT_BODY else body)
        return b"".join(parts)

    def _head(self, response: Response) -> bytes:
        status, content_type = response.status, response.content_type
        lines = [b"HTTP/1.1 %d %b" % (status, reason_phrase(status).encode()), b"date: " + self._date]
        if status not in _WITHOUT_BODY:
            lines.append(b"content-type: " + content_type)
        head = b"".join(line + b"\r\n" for line in lines)
        self._heads[status, content_type] = head
        return head
