"""What a person can do to a running notifier, as methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from roombell.engine.operator import Action, DeliveryPage, Operator, Progress, Selection
from roombell.engine.selection import DeliveryHistory

ProgressHook = Callable[[Progress], None]
_BY: Final = "the application"


class ByHand(ABC):
    """Looking for deliveries, redriving, replaying and cancelling them; unblocking lanes; pausing endpoints.

    The long ones go in steps of some hundred deliveries, tell ``progress`` after each, and hold up nothing else. They
    can be cancelled, called again, and taken up where they ended with ``after=progress.next``.
    """

    @property
    @abstractmethod
    def operator(self) -> Operator:
        """Does the work.

        :raises Stopped: the notifier is not running.
        """

    async def deliveries(
        self, selection: Selection = Selection(), *, after: str = "", limit: int = 100
    ) -> DeliveryPage:
        """A page of up to ``limit`` deliveries (at most 1,000), in the order of acceptance.

        :raises UsageError: there is no such endpoint, or ``after`` or ``limit`` is wrong.
        """
        return await self.operator.deliveries(selection, after=after, limit=limit)

    async def attempts(self, event_id: str) -> tuple[DeliveryHistory, ...]:
        """Every delivery of an event with all attempts at it; none if the event is unknown, or was pruned."""
        return await self.operator.attempts(event_id)

    async def redrive(
        self,
        selection: Selection = Selection(),
        *,
        after: str = "",
        dry_run: bool = False,
        progress: ProgressHook | None = None,
    ) -> Progress:
        """Makes dead and cancelled deliveries pending again, each in its old place in its lane, before all newer ones.

        Attempts and age are counted anew. A lane that waited for one of them (``on_dead: block``) goes on. Doing it
        twice is safe: what is pending again, or was delivered meanwhile, is passed over.

        :raises UsageError: there is no such endpoint, or ``after`` is wrong.
        """
        return await self.operator.run(
            Action.REDRIVE, selection, after=after, dry_run=dry_run, by=_BY, progress=progress
        )

    async def replay(
        self,
        selection: Selection = Selection(),
        *,
        after: str = "",
        dry_run: bool = False,
        progress: ProgressHook | None = None,
    ) -> Progress:
        """Delivers again what was delivered before this call, each in its old place in its lane.

        The receiver sees the same ids, bodies and sequences with the next attempt's number. Taken up with ``after``,
        it passes over what it has made delivered again; called anew, it begins anew.

        :raises UsageError: there is no such endpoint, or ``after`` is wrong.
        """
        return await self.operator.run(
            Action.REPLAY, selection, after=after, dry_run=dry_run, by=_BY, progress=progress
        )

    async def cancel(
        self,
        selection: Selection = Selection(),
        *,
        after: str = "",
        dry_run: bool = False,
        progress: ProgressHook | None = None,
    ) -> Progress:
        """Gives up pending deliveries. What may be under way at that moment is left (``Progress.left``).

        :raises UsageError: there is no such endpoint, or ``after`` is wrong.
        """
        return await self.operator.run(
            Action.CANCEL, selection, after=after, dry_run=dry_run, by=_BY, progress=progress
        )

    async def unblock(
        self,
        selection: Selection = Selection(),
        *,
        after: str = "",
        dry_run: bool = False,
        progress: ProgressHook | None = None,
    ) -> Progress:
        """Lets blocked lanes go on without the dead delivery they wait for (``redrive`` is to go on with it).

        :param selection: ``endpoint``, ``lane``, both or neither.
        :raises UsageError: there is no such endpoint, or ``after`` is wrong.
        """
        return await self.operator.run(
            Action.UNBLOCK, selection, after=after, dry_run=dry_run, by=_BY, progress=progress
        )

    async def pause(self, name: str) -> None:
        """Sends the endpoint nothing until ``resume``, over restarts too. What it is owed is kept, and grows.

        :raises UsageError: there is no such endpoint, or it is not configured any more.
        """
        await self.operator.pause(name, by=_BY)

    async def resume(self, name: str) -> None:
        """Sends to an endpoint again that is paused or disabled.

        :raises UsageError: there is no such endpoint, or it is not configured any more.
        """
        await self.operator.resume(name, by=_BY)
