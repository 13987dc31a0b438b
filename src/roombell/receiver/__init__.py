"""The other end: verifies and decodes webhooks inside the user's own web application."""

from roombell.receiver.receiver import Receiver

__all__ = ["Receiver"]
