"""Fixtures for tests of applications that take LiveKit's webhooks. pytest finds them by itself.

::

    def test_joining_is_noted(roombell_client, webhook_factory):
        client = roombell_client(app, path="/livekit")
        assert client.post(webhook_factory.event("participant_joined", identity="alice")).ok

It is loaded in every run of pytest where Roombell is installed, so it imports nothing of it before it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from roombell.testing.client import ClientOpener
    from roombell.testing.factory import EventFactory


@pytest.fixture
def roombell_keys() -> Mapping[str, str]:
    """API secrets by key name, with which ``roombell_client`` signs: those of ``livekit-server --dev``. A test suite
    whose application has others defines a fixture of this name.
    """
    from roombell.testing.factory import DEV_KEYS

    return DEV_KEYS


@pytest.fixture
def webhook_factory() -> EventFactory:
    """Makes events. Its clock begins now and stands still; ``webhook_factory.clock.advance(60)`` moves it on."""
    import time

    from roombell.testing.factory import EventFactory, ManualClock

    return EventFactory(clock=ManualClock(time.time()))


@pytest.fixture
def roombell_client(roombell_keys: Mapping[str, str]) -> Iterator[ClientOpener]:
    """Opens clients that post signed webhooks to an application, and closes them when the test is over."""
    from roombell.testing.client import ClientOpener

    opener = ClientOpener(roombell_keys)
    yield opener
    opener.close()
