"""Values that are kept beside the events."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence as Seq

from roombell.engine.model import Document, Put
from roombell.stores.sqlite.queries import query

_BY_KEY = query("document_by_key")
_FIRST = query("documents_first")
_AFTER = query("documents_after")
_ADD = query("document_add")
_REPLACE = query("document_replace")
_FORGET = query("document_forget")


def with_keys(connection: sqlite3.Connection, keys: Seq[str]) -> tuple[Document, ...]:
    """Those that are there."""
    rows = [row for key in dict.fromkeys(keys) for row in connection.execute(_BY_KEY, (key,))]
    return tuple(Document(*row) for row in rows)


def after(connection: sqlite3.Connection, key: str | None, limit: int) -> tuple[Document, ...]:
    """Some in the order of their keys."""
    rows = connection.execute(_FIRST, (limit,)) if key is None else connection.execute(_AFTER, (key, limit))
    return tuple(Document(*row) for row in rows)


def put(connection: sqlite3.Connection, one: Put) -> bool:
    """Puts it, if the version that is there is the one that it replaces."""
    row = {"key": one.key, "replaces": one.replaces, "version": one.version, "value": one.value}
    if one.value is None:
        return connection.execute(_FORGET, row).rowcount == 1
    return connection.execute(_REPLACE if one.replaces else _ADD, row).rowcount == 1
