-- Names the store that is moved here, and closes it to services; who may work on it later.
WITH before AS (
    SELECT compatible_from FROM roombell.store
), named AS (
    UPDATE roombell.store SET store_id = $1, compatible_from = $2
)
INSERT INTO roombell.moving (store_id, fingerprint, compatible_from, part, place, rows)
SELECT $1, $3, before.compatible_from, $4, $5, 0 FROM before
