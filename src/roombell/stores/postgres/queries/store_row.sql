-- What the store is, and what may work on it.
SELECT version, compatible_from, store_id FROM roombell.store
