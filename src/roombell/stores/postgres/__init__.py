"""The store on PostgreSQL, for any number of workers. Users get ``roombell.stores.postgres.store.PostgresStore``."""
