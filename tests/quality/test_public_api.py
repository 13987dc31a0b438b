"""What ``import roombell`` offers is decided here, name by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import roombell

PUBLIC_NAMES: list[str] = [
    "AttemptFinished",
    "BacklogGrowing",
    "ConfigError",
    "DeliveryDead",
    "DeliveryState",
    "EndpointDisabled",
    "EndpointFailing",
    "EndpointRecovered",
    "EndpointSettings",
    "EndpointStatus",
    "EventAccepted",
    "EventBuilder",
    "EventError",
    "EventFilter",
    "Inbox",
    "KeyRing",
    "Notifier",
    "OnDead",
    "Overloaded",
    "Progress",
    "Receipt",
    "ReceiveError",
    "Receiver",
    "RetryPolicy",
    "RoombellError",
    "Selection",
    "SignatureError",
    "Stopped",
    "StoreError",
    "UsageError",
    "WebhookEvent",
    "__version__",
    "event_builder",
    "parse",
]
"""Every name of the public API, sorted. A name is added or taken away here and in ``roombell/__init__.py`` at once."""

HEAVY_MODULES = ("asyncio", "httptools", "livekit", "sqlite3", "uvloop", "yaml", "roombell.engine", "roombell.service")
"""What ``import roombell`` alone must not load: a receiver in a small web application needs none of it."""


def test_the_public_names_are_exactly_the_agreed_ones_in_order() -> None:
    assert list(getattr(roombell, "__all__", [])) == PUBLIC_NAMES
    assert sorted(PUBLIC_NAMES) == PUBLIC_NAMES


def test_every_public_name_can_be_imported() -> None:
    assert [name for name in PUBLIC_NAMES if getattr(roombell, name, None) is None] == []


def test_every_public_name_is_listed_by_dir() -> None:
    assert set(PUBLIC_NAMES) <= set(dir(roombell))


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = f"import sys, roombell; print([name for name in {HEAVY_MODULES!r} if name in sys.modules])"
    env = {"PYTHONPATH": str(Path(roombell.__file__).parents[1])}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env)
    assert result.stdout.strip() == "[]"
