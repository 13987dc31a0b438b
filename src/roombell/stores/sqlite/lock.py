"""One process at a time: an advisory lock beside the store's file, held as long as the process lives.

SQLite's own locks let two processes take turns; a store has one owner of its lanes. The kernel drops the lock when
its holder dies, however it dies, so it can never be left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from roombell.errors import StoreLocked
from roombell.stores.sqlite.trouble import file_error

_PAUSE_S = 0.02


class FileLock:
    """Holds ``<path>.lock`` from ``take`` to ``release``.

    :param wait_s: how long ``take`` waits for a holder that is about to exit, as the store's process is when its
        parent was killed.
    """

    def __init__(self, path: str, *, wait_s: float) -> None:
        self._store_path = path
        self._path = f"{path}.lock"
        self._wait_s = wait_s
        self._file: int | None = None

    def take(self) -> None:
        """:raises StoreLocked: another process holds it, and did not let go in time."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise file_error(error, self._store_path) from error
        try:
            self._wait(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        with contextlib.suppress(OSError):  # the pid is a help for people; a full disk need not stop us here
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _wait(self, file: int) -> None:
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise self._locked(file) from None
                time.sleep(_PAUSE_S)
            except OSError as error:
                raise file_error(error, self._store_path) from error
            else:
                return

    def _locked(self, file: int) -> StoreLocked:
        holder = os.pread(file, 32, 0).decode("ascii", "replace").strip() or "unknown"
        return StoreLocked(
            f"{self._store_path} is open in another process (pid {holder}). Stop that process, or name another file."
        )
