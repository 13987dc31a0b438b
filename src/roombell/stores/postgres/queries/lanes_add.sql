-- Makes the lanes that there are not yet. Ids are given in the order of the batch, rows are made in the order of keys.
WITH missing AS MATERIALIZED (
    SELECT nextval('roombell.lane_number') AS id, wanted.*
    FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS wanted (endpoint_id, ordering_key, place)
    WHERE NOT EXISTS (
        SELECT FROM roombell.lane
        WHERE lane.endpoint_id = wanted.endpoint_id AND lane.ordering_key = wanted.ordering_key
    )
)
INSERT INTO roombell.lane (id, endpoint_id, ordering_key)
SELECT id, endpoint_id, ordering_key
FROM missing
ORDER BY endpoint_id, ordering_key COLLATE "C"
ON CONFLICT (endpoint_id, ordering_key) DO NOTHING
