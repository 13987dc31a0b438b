"""LiveKit's JavaScript SDK, which runs on Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NODE_FOLDER = Path(__file__).parents[1] / "compat" / "node"
NODE_MAJOR_MIN = 19


def node() -> str:
    """Where Node is. Skips where it is absent or too old; the packages are ``make test``'s to install."""
    binary = shutil.which("node")
    if binary is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not here, and LiveKit's JavaScript SDK runs on them")
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < NODE_MAJOR_MIN:
        pytest.skip(f"LiveKit's JavaScript SDK needs node {NODE_MAJOR_MIN} or newer; here is {version}")
    assert (NODE_FOLDER / "node_modules").is_dir(), "run `make test`, or `npm ci` in tests/compat/node"
    return binary
