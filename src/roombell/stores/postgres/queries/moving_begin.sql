-- Remembers which store is moved here, how far it is, and who may work on the store when it is whole.
CREATE TABLE roombell.moving (
    store_id text NOT NULL,
    fingerprint text NOT NULL,
    compatible_from integer NOT NULL,
    part integer NOT NULL,
    place bigint[] NOT NULL,
    rows bigint NOT NULL
)
