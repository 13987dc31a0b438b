-- Takes locked lanes over, and reads their oldest pending deliveries. Bodies come along while all of them together stay
-- within a bound. The others are fetched when they are wanted.
WITH leased AS (
    UPDATE roombell.lane
    SET lease_owner = $2, lease_expires_at_ms = $3, generation = generation + 1, recalled = 0
    WHERE id = ANY ($1::bigint[])
    RETURNING id, ordering_key, generation, pending, head_sequence, due_at_ms
)
SELECT leased.id, leased.ordering_key, leased.generation, leased.pending, head.sequence, event.event_id,
    event.event_type, event.accepted_at_ms, head.attempts, head.strikes, head.owed_since_ms, head.event,
    octet_length(event.body), CASE WHEN sum(octet_length(event.body)) OVER (
        ORDER BY leased.due_at_ms, leased.id, head.sequence
    ) <= $5 THEN event.body END
FROM leased
CROSS JOIN LATERAL (
    SELECT delivery.sequence, delivery.attempts, delivery.strikes, delivery.owed_since_ms, delivery.event
    FROM roombell.delivery
    WHERE delivery.lane_id = leased.id AND delivery.sequence >= leased.head_sequence AND delivery.state = 'pending'
    ORDER BY delivery.sequence
    LIMIT $4
) AS head
JOIN roombell.event ON event.id = head.event
ORDER BY leased.due_at_ms, leased.id, head.sequence
