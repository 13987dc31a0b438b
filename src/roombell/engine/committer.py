"""Group commit: what many callers want written goes to the store in one transaction.

There is one batch open and at most one being written. While a commit is under way everything new joins the open
batch; when it ends, the open batch is written. So a lone event is written at once, and under load batches grow just
as large as the disk is slow. Producers get futures; what becomes of lanes is told to the ``Placement`` at once and
in order, before any other code runs, so that no lane is seen in a state between two commits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from roombell.engine.hooks import CommitFailed, Committed, EventAccepted, Hooks
from roombell.engine.lifecycle import BackgroundLoop
from roombell.engine.model import Accept, Accepted, Batch, BatchResult, Grant, Release, Renew, Settle, Settled
from roombell.engine.ports import Clock, Store
from roombell.errors import Stopped, StoreError, StoreUnavailable

ACCEPTS_PER_BATCH_MAX: Final = 512
SETTLES_PER_BATCH_MAX: Final = 1024
_IDLE_S: Final = 3600.0


class Placement(Protocol):
    """Who is told where deliveries stand. None of these may raise."""

    def grants(self) -> tuple[Grant, ...]:
        """How many idle lanes may be leased in the next commit."""

    def placed(self, accept: Accept, accepted: Accepted, expires_at_ms: int) -> None:
        """An event is on disk; the lanes with a generation are leased until ``expires_at_ms``."""

    def settled(self, settle: Settle, result: Settled) -> None:
        """A settle is on disk, or its lease was lost."""

    def renewed(self, renewal: Renew, held: bool) -> None:  # noqa: FBT001 - the store's answer
        """A lease lasts longer, or was lost."""

    def unsettled(self, settle: Settle, error: StoreError) -> None:
        """A settle could not be written."""


_Waiting = tuple[Accept, asyncio.Future[Accepted]]


class Committer(BackgroundLoop):
    """Writes batches, one after another. ``owner`` and ``lease_ms`` are what its leases carry."""

    def __init__(self, store: Store, clock: Clock, hooks: Hooks, *, owner: str, lease_ms: int) -> None:
        super().__init__("committer")
        self._store, self._clock, self._hooks = store, clock, hooks
        self._owner, self._lease_ms = owner, lease_ms
        self._placement: Placement | None = None
        self._accepts: deque[_Waiting] = deque()
        self._settles: deque[Settle] = deque()
        self._releases: list[Release] = []
        self._renewals: list[Renew] = []
        self._writing = False
        self._flushed = asyncio.Event()
        self.waiting_bytes = 0
        self.last_error: StoreError | None = None
        """Why the last commit failed; None if it did not."""

    def bind(self, placement: Placement) -> None:
        """Names whom to tell. Called once, before anything is given."""
        self._placement = placement

    @property
    def waiting(self) -> int:
        """Events that wait to be written."""
        return len(self._accepts)

    def accept(self, accept: Accept) -> asyncio.Future[Accepted]:
        """Joins the open batch. The future ends when the event is on disk, or with a ``StoreError``.

        Cancelling the future does not take the event back.
        """
        future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._accepts.append((accept, future))
        self.waiting_bytes += len(accept.body)
        self._wake.set()
        return future

    def settle(self, settle: Settle) -> None:
        """Joins the open batch; the placement hears what became of it."""
        self._settles.append(settle)
        self._wake.set()

    def release(self, release: Release) -> None:
        """Joins the open batch, and the next ones until it is written."""
        self._releases.append(release)
        self._wake.set()

    def renew(self, renewal: Renew) -> None:
        """Joins the open batch; the placement hears what became of it."""
        self._renewals.append(renewal)
        self._wake.set()

    async def flush(self) -> None:
        """Returns when what has been given so far was written or has failed."""
        if self.running and self._busy:
            self._flushed.clear()
            self._wake.set()
            await self._flushed.wait()

    @property
    def _pending(self) -> bool:
        return bool(self._accepts or self._settles or self._releases or self._renewals)

    @property
    def _busy(self) -> bool:
        return self._writing or self._pending

    async def step(self) -> float:
        if not self._pending:
            self._flushed.set()
            return _IDLE_S
        accepts, batch = self._take()
        self._writing = True
        try:
            result = await self._store.commit(batch)
        except StoreError as error:
            self._failed(accepts, batch, error)
            raise
        except asyncio.CancelledError:
            self._failed(accepts, batch, StoreUnavailable("The store has not answered, and this process has stopped."))
            raise
        except Exception as error:
            self._failed(accepts, batch, StoreUnavailable(f"A fault of Roombell: {type(error).__name__}. See the log."))
            raise
        finally:
            self._writing = False
        self._succeeded(accepts, batch, result)
        return 0.0

    async def stop(self) -> None:
        """Writes what has been given, once, and ends. What cannot be written now has failed."""
        await self.flush()
        await super().stop()
        self._refuse_the_rest()

    async def abandon(self) -> None:
        await super().abandon()
        self._refuse_the_rest()

    def _refuse_the_rest(self) -> None:
        for _, future in self._accepts:
            if not future.done():
                future.set_exception(Stopped("This process is stopping; the event was not taken. Send it again."))
        self._accepts.clear()
        self.waiting_bytes = 0

    def _take(self) -> tuple[list[_Waiting], Batch]:
        assert self._placement is not None
        accepts = [self._accepts.popleft() for _ in range(min(len(self._accepts), ACCEPTS_PER_BATCH_MAX))]
        self.waiting_bytes -= sum(len(accept.body) for accept, _ in accepts)
        settles = [self._settles.popleft() for _ in range(min(len(self._settles), SETTLES_PER_BATCH_MAX))]
        batch = Batch(
            owner=self._owner,
            lease_expires_at_ms=self._clock.now_ms() + self._lease_ms,
            accepts=tuple([accept for accept, _ in accepts]),
            grants=self._placement.grants() if accepts else (),
            settles=tuple(settles),
            releases=tuple(self._releases),
            renewals=tuple(self._renewals),
        )
        self._releases, self._renewals = [], []
        return accepts, batch

    def _succeeded(self, accepts: list[_Waiting], batch: Batch, result: BatchResult) -> None:
        assert self._placement is not None
        self.last_error = None
        for (accept, future), accepted in zip(accepts, result.accepted, strict=True):
            self._placement.placed(accept, accepted, batch.lease_expires_at_ms)
            if not future.done():
                future.set_result(accepted)
            if self._hooks:
                self._hooks.emit(_record(accept, accepted))
        for settle, settled in zip(batch.settles, result.settled, strict=True):
            self._placement.settled(settle, settled)
        for renewal, held in zip(batch.renewals, result.renewed, strict=True):
            self._placement.renewed(renewal, held)
        if self._hooks:
            self._hooks.emit(Committed(len(batch.accepts), len(batch.settles), result.commit_ms))

    def _failed(self, accepts: list[_Waiting], batch: Batch, error: StoreError) -> None:
        assert self._placement is not None
        self.last_error = error
        self._releases = [*batch.releases, *self._releases]
        for _, future in accepts:
            if not future.done():
                future.set_exception(error)
        for settle in batch.settles:
            self._placement.unsettled(settle, error)
        self._flushed.set()
        self._hooks.emit(CommitFailed(error.code, str(error)))


def _record(accept: Accept, accepted: Accepted) -> EventAccepted:
    return EventAccepted(
        event_id=accept.event_id,
        event_type=accept.event_type,
        deliveries=len(accepted.placed),
        duplicate=accepted.duplicate,
        accepted_at_ms=accept.accepted_at_ms,
    )
