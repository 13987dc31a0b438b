"""The store on a SQLite file. Users get ``roombell.stores.sqlite.client.SqliteStore``.

Nothing is imported here: the store's process lives in this package too, and starts fast.
"""
