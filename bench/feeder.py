"""A slow, steady sender: for loads that are not there to reach a limit."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from typing import Self

from bench.prepared import API_KEY, SECRET

from roombell.signing import KeyRing
from roombell.testing.payloads import sample

ROOMS = 50
_RETRY_S = 0.2


class Feeder:
    """Sends events of the rooms ``KIND-0``, ``KIND-1`` ... from a thread of its own: ``at_start`` of them at once, then
    ``per_s`` a second. A 503 is tried again, as LiveKit does.
    """

    def __init__(self, port: int, kind: str, *, per_s: float, at_start: int = 0) -> None:
        self.accepted: set[str] = set()
        """Ids of the events that were answered 200."""
        self._url, self._kind = f"http://127.0.0.1:{port}/webhook", kind
        self._per_s, self._at_start = per_s, at_start
        self._ring, self._sent = KeyRing({API_KEY: SECRET}), 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._stream)

    def __enter__(self) -> Self:
        for _ in range(self._at_start):
            self._send()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _stream(self) -> None:
        started = time.monotonic()
        sent_before = self._sent
        while not self._stop.is_set():
            self._send()
            due_s = started + (self._sent - sent_before) / self._per_s
            self._stop.wait(max(0.0, due_s - time.monotonic()))

    def _send(self) -> None:
        self._sent += 1
        event_id = f"EV_{self._kind}_{self._sent}"
        body = sample("room_started", room=f"{self._kind}-{self._sent % ROOMS}", id=event_id)
        while not self._is_taken(body):
            if self._stop.wait(_RETRY_S):
                return
        self.accepted.add(event_id)

    def _is_taken(self, body: bytes) -> bool:
        token = self._ring.sign(body, api_key=API_KEY, now=time.time())
        request = urllib.request.Request(self._url, body, {"Authorization": token}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                if refused.code != 503:
                    raise
            return False
        return True
