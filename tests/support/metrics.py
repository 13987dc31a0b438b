"""What ``/metrics`` tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from support.service import ServiceProcess

POLL_S = 0.05
TURN_S_MAX = 60.0


class Metrics:
    """The figures of one moment."""

    def __init__(self, text: str) -> None:
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """A sample's value; 0 if it has not been told yet."""
        return self._values.get((name, frozenset(labels.items())), 0.0)

    def pending(self, endpoint: str) -> float:
        return self.value("roombell_pending_deliveries", endpoint=endpoint)

    def is_active(self, endpoint: str) -> bool:
        return self.value("roombell_endpoint_active", endpoint=endpoint) == 1


async def metrics(client: aiohttp.ClientSession, service: ServiceProcess) -> Metrics:
    async with client.get(f"{service.url}/metrics") as answer:
        return Metrics(await answer.text())


async def metrics_when(
    client: aiohttp.ClientSession, service: ServiceProcess, holds: Callable[[Metrics], bool]
) -> Metrics:
    """The first figures for which ``holds`` is true."""
    async with asyncio.timeout(TURN_S_MAX):
        while not holds(figures := await metrics(client, service)):
            await asyncio.sleep(POLL_S)
        return figures
