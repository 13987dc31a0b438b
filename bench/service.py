"""``roombell serve`` as the thing measured: in a process of its own, set up as its documentation says."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from bench.prepared import API_KEY, SECRET
from prometheus_client.parser import text_string_to_metric_families

_START_S_MAX = 30.0
_STOP_S_MAX = 60.0
_DELIVERED_S_MAX = 60.0


class Roombell:
    """A running service with its log in ``folder``, and its store too, unless ``store`` names one elsewhere.

    :param settings: sections of its configuration, in place of the one that has ``sink_url`` alone delivered to.
    """

    def __init__(
        self,
        folder: Path,
        sink_url: str,
        arguments: tuple[str, ...] = (),
        settings: Mapping[str, object] | None = None,
        store: str = "",
    ) -> None:
        self._folder = folder
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.store_path = folder / "roombell.db"
        self.log_path = folder / "roombell.log"
        self._config_path = folder / "roombell.yaml"
        document = {
            "port": self.port,
            "bind_addresses": ["127.0.0.1"],
            "keys": {API_KEY: SECRET},
            **({"webhook": {"urls": [sink_url]}} if settings is None else settings),
            "store": store or f"sqlite:///{self.store_path}",
        }
        self._config_path.write_text(json.dumps(document))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "roombell.cli", "serve", "--config", str(self._config_path), *self._arguments]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S_MAX
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                sys.exit(f"roombell did not start:\n{self.log_path.read_text()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def metrics(self, endpoint: str = "") -> dict[str, float]:
        """All samples; names alone, labels' values summed; of one endpoint alone where one is named."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        totals: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not endpoint or sample.labels.get("endpoint") == endpoint:
                    totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
        return totals

    def undelivered(self, endpoint: str) -> list[str]:
        """Waits until an endpoint has all that it is owed; what is wrong where it never has."""
        deadline = time.monotonic() + _DELIVERED_S_MAX
        while owed := self.metrics(endpoint)["roombell_pending_deliveries"]:
            if time.monotonic() > deadline:
                return [f"{endpoint} was still owed {owed:.0f} events {_DELIVERED_S_MAX:g} s after the load"]
            time.sleep(0.05)
        return []
