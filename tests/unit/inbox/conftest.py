"""An inbox on a file of its own, with handlers that come back quickly, and events for it."""

from __future__ import annotations

import pytest

from roombell import Receiver
from roombell.inbox import Inbox
from support.inbox import KEYS, QUICK


@pytest.fixture
def receiver():
    return Receiver(keys=KEYS)


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path / 'inbox.db'}"


@pytest.fixture
def inbox(receiver, store):
    return Inbox(receiver, store=store, defaults=QUICK)
