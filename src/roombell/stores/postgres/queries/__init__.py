"""The statements, one to a file; the comment at the top of each says what it is for."""

from __future__ import annotations

from pathlib import Path


def query(name: str) -> str:
    """The text of ``<name>.sql`` in this folder."""
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")
