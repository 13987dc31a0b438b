"""How handlers are called, as typed values."""

from __future__ import annotations

import msgspec

from roombell.engine.model import OnDead
from roombell.engine.retry import RetryPolicy
from roombell.errors import UsageError


class HandlerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one handler is called."""

    name: str = ""
    """What it is known by in the store; by default where it is defined, as ``app.hooks.on_joined``. Events that it has
    not handled yet belong to the name: give it one, and the function may be renamed and moved."""
    timeout_s: float = 30.0
    """For one call."""
    concurrency: int = 16
    """How many calls may be under way at once, each for another ordering key."""
    retry: RetryPolicy = RetryPolicy()
    on_dead: OnDead = OnDead.SKIP
    """Whether the events behind one that was given up go on, or wait until a person decides."""

    def __post_init__(self) -> None:
        _check("name", self.name, str, "a text")
        _check("timeout_s", self.timeout_s, (int, float), "a number of seconds")
        _check("concurrency", self.concurrency, int, "a whole number")
        _check("retry", self.retry, RetryPolicy, "a policy, as RetryPolicy(attempts=20)")
        _check("on_dead", self.on_dead, OnDead, "OnDead.SKIP or OnDead.BLOCK")
        if self.name.startswith("@"):
            raise UsageError(f"A handler's name may not begin with @; {self.name!r} was given.")
        if not self.timeout_s > 0:
            raise UsageError(f"timeout_s must be more than nothing; {self.timeout_s:g} was given.")
        if self.concurrency < 1:
            raise UsageError(f"concurrency must be at least 1; {self.concurrency} was given.")


def _check(name: str, given: object, kind: type | tuple[type, ...], words: str) -> None:
    """What people without a type checker get wrong on the first day."""
    if not isinstance(given, kind):
        raise UsageError(f"{name} is {words}; {given!r} was given.")
