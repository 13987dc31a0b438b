r"""Text as PostgreSQL can keep it.

Its ``text`` has no character NUL, and events may. Backslashes are doubled and NUL is written ``\0``, so that what
people look at in ``psql`` is what it is, nearly always.
"""

from __future__ import annotations


def kept(text: str) -> str:
    """What is stored for ``text``."""
    if "\\" not in text and "\0" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\0", "\\0")


def shown(stored: str) -> str:
    """What ``kept`` was given."""
    if "\\" not in stored:
        return stored
    return "\\".join(part.replace("\\0", "\0") for part in stored.split("\\\\"))
