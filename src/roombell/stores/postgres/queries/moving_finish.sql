-- Goes on with the numbers where the old store was, and opens the store to services.
WITH numbered AS MATERIALIZED (
    SELECT setval('roombell.event_number', greatest($1::bigint, 1), $1 > 0),
        setval(pg_get_serial_sequence('roombell.endpoint', 'id'), greatest($2::bigint, 1), $2 > 0),
        setval('roombell.lane_number', greatest($3::bigint, 1), $3 > 0)
)
UPDATE roombell.store
SET compatible_from = moving.compatible_from
FROM roombell.moving, numbered
