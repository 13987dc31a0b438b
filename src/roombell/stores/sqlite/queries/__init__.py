"""The statements, one to a file; the comment at the top of each says what it is for."""

from __future__ import annotations

import os


def query(name: str) -> str:
    """The text of ``<name>.sql`` in this folder."""
    with open(os.path.join(os.path.dirname(__file__), f"{name}.sql"), encoding="utf-8") as file:  # noqa: PTH118, PTH120, PTH123 - pathlib costs the store's process a fifth of its start
        return file.read()
