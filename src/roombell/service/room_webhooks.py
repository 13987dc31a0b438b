"""Where room events go: the configured endpoints, and what a recording's request names beside them.

Each is a notifier with a store that keeps nothing, so webhooks are signed, ordered and tried again as everywhere. A
recording's own webhooks have a notifier for each URL and key: they come and go with the recordings that name them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from roombell.engine.hooks import Hook
from roombell.errors import RoombellError
from roombell.notifier import Notifier
from roombell.settings import EndpointSettings, Settings, StoreKind, StoreSettings, name_of_url

if TYPE_CHECKING:
    from roombell.rooms.effects import ExtraWebhook, Happened

EXTRA_MAX: Final = 64
"""How many URLs recordings may name in a server's life."""

_RETENTION: Final = timedelta(hours=1)
_log: Final = logging.getLogger("roombell.rooms")


class ExtraWebhooks:
    """Delivers events to the webhooks that recordings name.

    :param keys: those that may sign; the first one does where a webhook names none.
    """

    def __init__(self, keys: Mapping[str, str], hooks: Iterable[Hook] = ()) -> None:
        self._keys = keys
        self._hooks = tuple(hooks)
        self._notifiers: dict[ExtraWebhook, Notifier] = {}

    async def take(self, happened: Happened) -> None:
        """Takes an event for each webhook that it names. One that cannot be sent to is logged, and harms nothing."""
        for webhook in happened.webhooks:
            try:
                await (await self._notifier(webhook)).notify(happened.event)
            except RoombellError as error:
                _log.error("A recording's webhook %s gets no %s: %s", webhook.url, happened.event.type, error)

    async def stop(self, *, grace_s: float) -> None:
        """Delivers what can be delivered within ``grace_s``."""
        await asyncio.gather(*(_stop(notifier, grace_s) for notifier in self._notifiers.values()))
        self._notifiers.clear()

    async def _notifier(self, webhook: ExtraWebhook) -> Notifier:
        if webhook in self._notifiers:
            return self._notifiers[webhook]
        if len(self._notifiers) >= EXTRA_MAX:
            raise RoombellError(f"recordings have named {EXTRA_MAX} webhooks already, and that is the limit.")
        notifier = Notifier(
            keys=self._keys,
            urls=[webhook.url],
            api_key=webhook.signing_key or next(iter(self._keys)),
            store="memory:",
            retention=_RETENTION,
            hooks=self._hooks,
        )
        await notifier.start()
        self._notifiers[webhook] = notifier
        return notifier


class RoomWebhooks:
    """Delivers room events to the endpoints of ``settings`` and to the webhooks that recordings name.

    :param settings: keys and endpoints; its store is not used.
    :param hooks: called with what becomes of deliveries, as a notifier's are.
    """

    def __init__(self, settings: Settings, hooks: Iterable[Hook] = ()) -> None:
        hooks = tuple(hooks)
        kept_nowhere = StoreSettings(kind=StoreKind.MEMORY, path="")
        self._notifier = Notifier.from_settings(msgspec.structs.replace(settings, store=kept_nowhere), hooks=hooks)
        self._extra = ExtraWebhooks(settings.keys, hooks)

    async def start(self) -> None:
        await self._notifier.start()

    async def take(self, happened: Happened) -> None:
        """Returns when the event is on its way everywhere; it is the callback of a hub."""
        await self._notifier.notify_many([happened.event])
        await self._extra.take(happened)

    async def stop(self, *, grace_s: float) -> None:
        """Delivers what can be delivered within ``grace_s``; the rest is lost."""
        await asyncio.gather(_stop(self._notifier, grace_s), self._extra.stop(grace_s=grace_s))


def webhook_endpoints(urls: Iterable[str], settings: Settings, api_key: str) -> tuple[EndpointSettings, ...]:
    """The configured endpoints, and one for each of ``urls``."""
    named = (EndpointSettings(name=name_of_url(url), url=url, api_key=api_key) for url in dict.fromkeys(urls))
    return (*settings.endpoints, *named)


async def _stop(notifier: Notifier, grace_s: float) -> None:
    try:
        await notifier.drain(timeout_s=grace_s)
    except TimeoutError:
        owed = sum(status.pending for status in await notifier.endpoints())
        _log.error("%d webhooks could not be delivered within %g s and are lost.", owed, grace_s)
    await notifier.stop(grace_s=0)
