"""The receiver's handlers as the engine's endpoints: one for each, known by its name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from roombell.engine.model import EndpointId, EndpointStatus
from roombell.engine.router import EndpointPolicy
from roombell.errors import UsageError
from roombell.inbox.settings import HandlerSettings
from roombell.receiver.handlers import Handler
from roombell.transport.handlers import HandlerTarget


class SettingsOf:
    """Which settings each function was given."""

    def __init__(self, default: HandlerSettings) -> None:
        self._default = default
        self._given: list[tuple[object, HandlerSettings]] = []

    def give(self, function: object, settings: HandlerSettings) -> None:
        """Settings of its own for a function."""
        self._given.append((function, settings))

    def of(self, handler: Handler) -> HandlerSettings:
        """The handler's settings, with its name filled in; the last ones where it was given some twice."""
        given = (settings for function, settings in reversed(self._given) if function == handler.function)
        settings = next(given, self._default)
        return settings if settings.name else msgspec.structs.replace(settings, name=handler.name)


class Registered:
    """The handlers there are, each under its name.

    :raises UsageError: two functions have one name.
    """

    def __init__(self, handlers: Iterable[Handler], settings: SettingsOf) -> None:
        self._settings: dict[str, HandlerSettings] = {}
        self._handlers: dict[str, Handler] = {}
        self._names: dict[int, str] = {}
        for handler in handlers:
            own = settings.of(handler)
            same = self._handlers.setdefault(own.name, handler)
            if same.function != handler.function:
                raise UsageError(
                    f"Two handlers are called {own.name!r}. The name is what each is known by in the store: give them "
                    "names of their own with `@inbox.handler(HandlerSettings(name=…))` below `@receiver.on(…)`."
                )
            self._settings[own.name] = own
            self._names[id(handler)] = own.name

    @property
    def names(self) -> tuple[str, ...]:
        """The endpoints' names."""
        return tuple(self._handlers)

    @property
    def max_age_ms(self) -> int:
        """How old an event may grow that some handler has not done."""
        return max((settings.retry.max_age_ms for settings in self._settings.values()), default=0)

    def names_of(self, handlers: Iterable[Handler]) -> tuple[str, ...]:
        """The endpoints of these handlers, each once.

        :raises UsageError: one was registered after the inbox had started.
        """
        names: dict[str, None] = {}
        for handler in handlers:
            if id(handler) not in self._names:
                raise UsageError(f"The handler {handler.name} was registered after the inbox had started.")
            names[self._names[id(handler)]] = None
        return tuple(names)

    def targets(self, ids: Mapping[str, EndpointId]) -> dict[EndpointId, HandlerTarget]:
        """The handlers as the transport knows them."""
        return {
            ids[name]: HandlerTarget(
                name, handler, self._settings[name].timeout_s, threads_max=self._settings[name].concurrency
            )
            for name, handler in self._handlers.items()
        }

    def policies(self, statuses: Mapping[str, EndpointStatus]) -> tuple[EndpointPolicy, ...]:
        """The handlers as the engine knows them."""
        return tuple(
            EndpointPolicy(
                endpoint_id=statuses[name].endpoint_id,
                name=name,
                concurrency=settings.concurrency,
                retry=settings.retry,
                on_dead=settings.on_dead,
                adaptive=False,
                internal=True,  # events are routed by the receiver's own rules
            )
            for name, settings in self._settings.items()
        )
