-- The pending deliveries of a lane after a sequence, oldest first, if it is still leased in that generation and not
-- called back: then there is at least one row, without a sequence where nothing is pending.
SELECT head.sequence, event.event_id, event.event_type, event.accepted_at_ms, head.attempts, head.strikes,
    head.owed_since_ms, head.event, octet_length(event.body), CASE WHEN sum(octet_length(event.body)) OVER (
        ORDER BY head.sequence
    ) <= $5 THEN event.body END
FROM roombell.lane
LEFT JOIN LATERAL (
    SELECT delivery.sequence, delivery.attempts, delivery.strikes, delivery.owed_since_ms, delivery.event
    FROM roombell.delivery
    WHERE delivery.lane_id = lane.id AND delivery.sequence >= greatest(lane.head_sequence, $3::bigint + 1)
        AND delivery.state = 'pending'
    ORDER BY delivery.sequence
    LIMIT $4
) AS head ON true
LEFT JOIN roombell.event ON event.id = head.event
WHERE lane.id = $1 AND lane.generation = $2 AND lane.lease_owner IS NOT NULL AND lane.recalled = 0
ORDER BY head.sequence
