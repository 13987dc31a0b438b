"""The receiver's durable side: webhooks are stored, answered, and handled behind that until they are done."""

from roombell.errors import AlreadyDone, GiveUp, OutOfTime, RetryLater
from roombell.inbox.collapse import Collapse
from roombell.inbox.derived import change_of
from roombell.inbox.inbox import Inbox
from roombell.inbox.settings import HandlerSettings
from roombell.inbox.transaction import Transaction

__all__ = [
    "AlreadyDone",
    "Collapse",
    "GiveUp",
    "HandlerSettings",
    "Inbox",
    "OutOfTime",
    "RetryLater",
    "Transaction",
    "change_of",
]
