"""The benchmarks run, and their ledgers are clean. What they measure is not looked at here."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from support.markdown import ROOT

SCENARIOS = {
    "throughput": ["--seconds", "1", "--repeats", "1", "--connections", "16"],
    "bad-neighbours": ["--seconds", "1", "--repeats", "1", "--rate", "100"],
    "soak": ["--minutes", "0.1"],
}
RUN_S_MAX = 240.0
PATH = "/usr/sbin:/usr/local/bin:/usr/bin"


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not here")
@pytest.mark.skipif((shutil.which("nginx") or shutil.which("nginx", path=PATH)) is None, reason="nginx is not here")
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_benchmark_runs_and_its_ledger_is_clean(name: str, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench", name, *SCENARIOS[name], "--out", str(out),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(RUN_S_MAX):
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    assert json.loads(out.read_text())["faults"] == []
