-- Brings the heads of locked lanes that are not leased up to date: their oldest pending delivery.
UPDATE roombell.lane
SET head_sequence = head.sequence, head_owed_since_ms = head.owed_since_ms
FROM unnest($1::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT delivery.sequence, delivery.owed_since_ms
    FROM roombell.lane AS its
    JOIN roombell.delivery
        ON delivery.lane_id = its.id AND delivery.sequence >= its.head_sequence AND delivery.state = 'pending'
    WHERE its.id = wanted.id
    ORDER BY delivery.sequence
    LIMIT 1
) AS head
WHERE lane.id = wanted.id
