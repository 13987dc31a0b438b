"""Several ``roombell serve`` on one PostgreSQL: real processes, a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from roombell.testing.endpoint import ScriptedEndpoint
from support.service import ServiceProcess, endpoint
from support.webhooks import signed_webhook

DEADLINE_S = 60


async def arrived(there: ScriptedEndpoint, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await there.wait_for(count)
