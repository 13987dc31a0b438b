-- Endpoints with what they are owed, in the order of their numbers.
SELECT endpoint.id, endpoint.name, endpoint.state, endpoint.reason, endpoint.changed_at_ms, endpoint.health, (
        SELECT coalesce(sum(pending), 0)::bigint FROM roombell.endpoint_count WHERE endpoint_id = endpoint.id
    ), (
        SELECT coalesce(sum(dead), 0)::bigint FROM roombell.endpoint_count WHERE endpoint_id = endpoint.id
    )
FROM roombell.endpoint
WHERE endpoint.id > $1
ORDER BY endpoint.id
LIMIT $2
