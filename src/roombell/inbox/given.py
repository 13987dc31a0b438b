"""What an inbox is given, checked: what people without a type checker get wrong on the first day. Pure."""

from __future__ import annotations

import os
from datetime import timedelta

from roombell.errors import UsageError
from roombell.inbox.databases import AsyncDatabase, BlockingDatabase
from roombell.inbox.databases.sqlite import Sqlite
from roombell.inbox.settings import HandlerSettings
from roombell.receiver.receiver import Receiver
from roombell.settings import StoreSettings


def check(receiver: object, database: object, defaults: object, retention: object) -> None:
    """:raises UsageError: one of them is something else; the message says what it is to be."""
    if not isinstance(receiver, Receiver):
        raise UsageError(f"The inbox is given a receiver, `Inbox(Receiver(keys=…))`, not {named(receiver)}.")
    if not isinstance(database, AsyncDatabase | BlockingDatabase | None):
        raise UsageError(
            "`database` is one of those in `roombell.inbox.databases`, as `SqlAlchemy(engine)`, not "
            f"{named(database)} itself."
        )
    if not isinstance(defaults, HandlerSettings):
        raise UsageError(f"`defaults` are settings, `HandlerSettings(timeout_s=60)`, not {named(defaults)}.")
    if not isinstance(retention, timedelta):
        raise UsageError(f"`retention` is a time, as `timedelta(days=7)`, not {named(retention)}.")


def store_settings(store: object, database: object) -> StoreSettings:
    """What the inbox' ``store`` names.

    :raises UsageError: it names no store, or the file of ``database``. Where there may be a password in it, the message
        holds its beginning alone.
    """
    if not isinstance(store, str):
        raise UsageError(f"`store` is a URL, as 'sqlite:///inbox.db', not {named(store)}.")
    try:
        settings = StoreSettings.of_url(store)
    except UsageError as error:
        told = f"{store.partition(':')[0]}:…" if "@" in store or "?" in store else store
        raise UsageError(f"The inbox' `store` is {told!r}: {error}") from None
    if (
        isinstance(database, Sqlite)
        and settings.path
        and os.path.realpath(settings.path) == os.path.realpath(database.path)
    ):
        raise UsageError(
            f"{database.path!r} is the inbox' own file, which nothing else may use. Give `database` a file of the "
            "application's."
        )
    return settings


def named(given: object) -> str:
    """What it is, in a sentence."""
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
