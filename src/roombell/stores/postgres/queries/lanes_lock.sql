-- Locks lanes by id and by key, in the order of their ids, and reads them as they are then; and whether their endpoint
-- is sent to.
SELECT lane.id, lane.endpoint_id, lane.ordering_key, lane.last_sequence, lane.kept, lane.head_sequence,
    lane.head_owed_since_ms, lane.pending, lane.due_at_ms, lane.lease_owner, lane.lease_expires_at_ms, lane.generation,
    lane.blocked, lane.recalled, (
        SELECT endpoint.state = 'active' FROM roombell.endpoint WHERE endpoint.id = lane.endpoint_id
    ) AS active
FROM roombell.lane
WHERE lane.id = ANY ($1::bigint[] || ARRAY(
    SELECT named.id
    FROM unnest($2::bigint[], $3::text[]) AS wanted (endpoint_id, ordering_key)
    JOIN roombell.lane AS named
        ON named.endpoint_id = wanted.endpoint_id AND named.ordering_key = wanted.ordering_key
))
ORDER BY lane.id
FOR NO KEY UPDATE OF lane
