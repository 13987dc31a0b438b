"""Values that are kept beside the events."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import TYPE_CHECKING

from roombell.engine.model import Document, Put
from roombell.stores.postgres.queries import query
from roombell.stores.text import kept, shown

if TYPE_CHECKING:
    from roombell.stores.postgres.driver import Connection

_WITH_KEYS = query("documents_with_keys")
_AFTER = query("documents_after")
_ADD = query("document_add")
_REPLACE = query("document_replace")
_FORGET = query("document_forget")


async def with_keys(connection: Connection, keys: Seq[str]) -> tuple[Document, ...]:
    """Those that are there."""
    rows = await connection.fetch(_WITH_KEYS, [kept(key) for key in dict.fromkeys(keys)])
    return tuple(Document(shown(key), version, value) for key, version, value in rows)


async def after(connection: Connection, key: str | None, limit: int) -> tuple[Document, ...]:
    """Some in the order of their keys as they are stored."""
    rows = await connection.fetch(_AFTER, None if key is None else kept(key), limit)
    return tuple(Document(shown(key), version, value) for key, version, value in rows)


async def put(connection: Connection, puts: Seq[Put]) -> tuple[bool, ...]:
    """Puts them in the order of their keys, so that of two workers none waits for the other in a circle."""
    done: dict[int, bool] = {}
    for place in sorted(range(len(puts)), key=lambda place: puts[place].key):
        done[place] = await _put(connection, puts[place]) is not None
    return tuple(done[place] for place in range(len(puts)))


async def _put(connection: Connection, one: Put) -> object:
    key = kept(one.key)
    if one.value is None:
        return await connection.fetchval(_FORGET, key, one.replaces)
    if one.replaces:
        return await connection.fetchval(_REPLACE, key, one.version, one.value, one.replaces)
    return await connection.fetchval(_ADD, key, one.version, one.value)
