"""LiveKit webhook events: the names, the parsed view over the raw bytes, and constructors for producers."""

from roombell.events.builder import EventBuilder
from roombell.events.event import WebhookEvent
from roombell.events.names import EVENT_TYPES, EventFamily, family_of
from roombell.events.parse import parse

__all__ = ["EVENT_TYPES", "EventBuilder", "EventFamily", "WebhookEvent", "family_of", "parse"]
