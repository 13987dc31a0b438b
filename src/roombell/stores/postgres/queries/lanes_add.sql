-- Makes the lanes that there are not yet, in the order of their keys.
INSERT INTO roombell.lane (endpoint_id, ordering_key)
SELECT wanted.endpoint_id, wanted.ordering_key
FROM unnest($1::bigint[], $2::text[]) AS wanted (endpoint_id, ordering_key)
WHERE NOT EXISTS (
    SELECT FROM roombell.lane
    WHERE lane.endpoint_id = wanted.endpoint_id AND lane.ordering_key = wanted.ordering_key
)
ORDER BY wanted.endpoint_id, wanted.ordering_key
ON CONFLICT (endpoint_id, ordering_key) DO NOTHING
