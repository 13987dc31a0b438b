"""Every framework gives the same answers."""

from __future__ import annotations

import pytest

from roombell.testing.receiver_contract import ReceiverContract
from roombell.testing.receiver_driver import Serve
from support.web_servers import SERVERS

WITHOUT_CHUNKS = {"plain_wsgi", "django_wsgi"}
"""Behind wsgiref, which hands over no chunked bodies."""
READ_BEFORE = {"django_asgi", "django_asgi_plain_view"}
"""Django reads the whole body before it calls a view, under ASGI."""


@pytest.mark.parametrize("name", SERVERS)
class TestEveryFramework(ReceiverContract):
    @pytest.fixture
    def serve(self, name: str) -> Serve:
        self.reads_chunked = name not in WITHOUT_CHUNKS
        self.refuses_unread = name not in READ_BEFORE
        return SERVERS[name]
