"""LiveKit webhooks that are never lost: a notifier that delivers them, a receiver that takes them.

Names are loaded when they are first used, so that a receiver loads no part of the notifier.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from roombell._version import __version__

if TYPE_CHECKING:
    from roombell.engine.hooks import (
        AttemptFinished,
        BacklogGrowing,
        DeliveryDead,
        EndpointDisabled,
        EndpointFailing,
        EndpointRecovered,
        EventAccepted,
    )
    from roombell.engine.model import DeliveryState, EndpointStatus, OnDead
    from roombell.engine.operator import Progress, Selection
    from roombell.engine.retry import RetryPolicy
    from roombell.engine.router import EventFilter
    from roombell.errors import (
        ConfigError,
        EventError,
        Overloaded,
        ReceiveError,
        RoombellError,
        SignatureError,
        Stopped,
        StoreError,
        UsageError,
    )
    from roombell.events import EventBuilder, WebhookEvent, parse
    from roombell.inbox import Inbox
    from roombell.notifier import Notifier, Receipt
    from roombell.receiver import Receiver
    from roombell.settings import EndpointSettings
    from roombell.signing import KeyRing
    from roombell.wiring import event_builder

_HOMES = {
    "roombell.engine.hooks": (
        "AttemptFinished",
        "BacklogGrowing",
        "DeliveryDead",
        "EndpointDisabled",
        "EndpointFailing",
        "EndpointRecovered",
        "EventAccepted",
    ),
    "roombell.engine.model": ("DeliveryState", "EndpointStatus", "OnDead"),
    "roombell.engine.operator": ("Progress", "Selection"),
    "roombell.engine.retry": ("RetryPolicy",),
    "roombell.engine.router": ("EventFilter",),
    "roombell.errors": (
        "ConfigError",
        "EventError",
        "Overloaded",
        "ReceiveError",
        "RoombellError",
        "SignatureError",
        "Stopped",
        "StoreError",
        "UsageError",
    ),
    "roombell.events": ("EventBuilder", "WebhookEvent", "parse"),
    "roombell.inbox": ("Inbox",),
    "roombell.notifier": ("Notifier", "Receipt"),
    "roombell.receiver": ("Receiver",),
    "roombell.settings": ("EndpointSettings",),
    "roombell.signing": ("KeyRing",),
    "roombell.wiring": ("event_builder",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
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


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'roombell' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
