"""The table ``roombell_done`` in the user's own database, as statements that any driver can run.

One row says that one handler has done one event. PostgreSQL and SQLite understand all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

TABLE: Final = "roombell_done"
_PARAMETER: Final = re.compile(r":([a-z_]+)")
_FOLDER: Final = Path(__file__).parent / "queries"


class Statement(msgspec.Struct, frozen=True):
    """One statement with its values, in the styles in which drivers want parameters."""

    named: str
    """``:name``: SQLAlchemy's and sqlite3's."""
    values: dict[str, str | int] = {}

    @property
    def pyformat(self) -> str:
        """``%(name)s``: psycopg's and Django's."""
        return self._styled(lambda name: f"%({name})s")

    @property
    def numbered(self) -> str:
        """``$1``: asyncpg's, with ``values`` in their order."""
        places = {name: place for place, name in enumerate(self.values, 1)}
        return self._styled(lambda name: f"${places[name]}")

    def _styled(self, parameter: Callable[[str], str]) -> str:
        return _PARAMETER.sub(lambda match: parameter(match[1]), self.named)


def _statement(name: str, **values: str | int) -> Statement:
    lines = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8").splitlines()
    return Statement("\n".join(line for line in lines if not line.startswith("--")), values)


CREATE: Final = (_statement("table"), _statement("index"))
CHECK: Final = _statement("check")
_ADD: Final = _statement("add").named
_FORGET: Final = _statement("forget").named


def add(event_id: str, handler: str, done_at_ms: int) -> Statement:
    """Changes one row, or none where it was done before."""
    return Statement(_ADD, {"event_id": event_id, "handler": handler, "done_at_ms": done_at_ms})


def forget(before_ms: int, rows_max: int) -> Statement:
    """Changes as many rows as it forgets."""
    return Statement(_FORGET, {"before_ms": before_ms, "rows_max": rows_max})
