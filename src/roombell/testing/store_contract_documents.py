"""What every store must do with documents. Part of ``roombell.testing.store_contract``."""

from __future__ import annotations

from roombell.engine.model import Document, Put
from roombell.testing.store_driver import MakeStore, opened

STRANGE = ("", "a", "b\\0", "b\0", "\N{SNOWMAN}", "x" * 3000)


class DocumentContract:
    async def test_a_document_is_there_as_it_was_put_last(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            assert await it.store.put_documents([Put("a", 0, 5, b"one"), Put("b", 0, 5, b"")]) == (True, True)
            assert await it.store.put_documents([Put("a", 5, 6, b"two")]) == (True,)
            assert set(await it.store.documents(["a", "b", "c"])) == {Document("a", 6, b"two"), Document("b", 5, b"")}

    async def test_what_replaces_another_version_than_is_there_is_not_put(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            await it.store.put_documents([Put("a", 0, 5, b"one")])
            puts = [Put("a", 0, 6, b"x"), Put("a", 4, 6, b"x"), Put("b", 5, 6, b"x"), Put("a", 4, 6, None)]
            assert await it.store.put_documents([*puts, Put("c", 0, 1, b"y")]) == (False, False, False, False, True)
            assert await it.store.documents(["a", "b"]) == (Document("a", 5, b"one"),)

    async def test_one_call_may_put_a_document_again(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            assert await it.store.put_documents([Put("a", 0, 5, b"1"), Put("a", 5, 6, b"2")]) == (True, True)
            assert await it.store.documents(["a"]) == (Document("a", 6, b"2"),)

    async def test_a_document_is_forgotten_by_whoever_read_it_last(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            await it.store.put_documents([Put("a", 0, 5, b"one")])
            assert await it.store.put_documents([Put("a", 4, 6, None)]) == (False,)
            assert await it.store.put_documents([Put("a", 5, 6, None)]) == (True,)
            assert await it.store.documents(["a"]) == ()

    async def test_documents_are_walked_through_to_the_end(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            await it.store.put_documents([Put(key, 0, 1, b"") for key in STRANGE])
            found, last = list[str](), None
            while page := await it.store.documents_after(last, limit=2):
                found += [document.key for document in page]
                last = found[-1]
            assert len(found) == len(STRANGE)
            assert set(found) == set(STRANGE)
            assert {document.key for document in await it.store.documents(STRANGE)} == set(STRANGE)

    async def test_documents_outlive_the_store_s_closing(self, make_store: MakeStore) -> None:
        async with opened(make_store) as it:
            await it.store.put_documents([Put("a", 0, 5, b"one")])
        async with opened(make_store) as it:
            assert await it.store.documents(["a"]) == (Document("a", 5, b"one"),)
