"""What SQLite reports, in the words of the ``Store`` port: whose fault it is, which file, and what to do."""

from __future__ import annotations

import errno
import sqlite3

from roombell.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnavailable,
)

_FULL = "There is no room left to write {path}. Free space on its disk; nothing is lost, and work goes on then."
_READ_ONLY = "{path} cannot be written. Give this process write access to the file and to its folder."
_CORRUPT = (
    "{path} is damaged or is no Roombell store. Point Roombell at another file, or stop it and restore the file "
    "from a backup (with its -wal file, if there is one)."
)
_LOCKED = "{path} is being written by another program. Close that program."
_DISK = "The disk failed while {path} was used. Look at the system's log for the disk's errors."

_ERRORS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_FULL: (StoreFull, _FULL),
    sqlite3.SQLITE_IOERR_SHMSIZE: (StoreFull, _FULL),
    sqlite3.SQLITE_READONLY: (StoreReadOnly, _READ_ONLY),
    sqlite3.SQLITE_PERM: (StoreReadOnly, _READ_ONLY),
    sqlite3.SQLITE_CANTOPEN: (StoreReadOnly, _READ_ONLY),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, _CORRUPT),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, _CORRUPT),
    sqlite3.SQLITE_IOERR_SHORT_READ: (StoreCorrupt, _CORRUPT),
    sqlite3.SQLITE_BUSY: (StoreLocked, _LOCKED),
    sqlite3.SQLITE_LOCKED: (StoreLocked, _LOCKED),
    sqlite3.SQLITE_IOERR: (StoreError, _DISK),
}
"""By extended result code, else by primary one: https://www.sqlite.org/rescode.html."""


def store_error(error: Exception, path: str, *, at_commit: bool = False) -> StoreError:
    """The error of the port that says what SQLite's says.

    :param at_commit: whether COMMIT itself failed. If the disk failed there, the transaction may or may not be
        found after a crash, so the answer is ``StoreUnavailable``.
    """
    if isinstance(error, StoreError):
        return error
    code = error.sqlite_errorcode if isinstance(error, sqlite3.Error) and hasattr(error, "sqlite_errorcode") else 0
    kind, text = _ERRORS.get(code) or _ERRORS.get(code & 0xFF, (StoreError, "{path} refused the work."))
    if at_commit and kind is StoreError:
        kind = StoreUnavailable
    return kind(f"{text.format(path=path)} ({error})")


def file_error(error: OSError, path: str) -> StoreError:
    """The same for what the operating system says about a file beside the store's."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"{_FULL.format(path=path)} ({error})")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreReadOnly(f"{_READ_ONLY.format(path=path)} ({error})")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return StoreError(f"The folder of {path} does not exist. Make it, or name another file.")
    return StoreError(f"{path} cannot be opened. ({error})")
