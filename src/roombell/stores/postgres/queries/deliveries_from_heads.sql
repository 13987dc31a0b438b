-- The pending deliveries of lanes from a sequence on, oldest first in each, and since when each is owed.
SELECT wanted.id, found.sequence, found.owed_since_ms
FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS wanted (id, first, place)
CROSS JOIN LATERAL (
    SELECT delivery.sequence, delivery.owed_since_ms
    FROM roombell.delivery
    WHERE delivery.lane_id = wanted.id AND delivery.sequence >= wanted.first AND delivery.state = 'pending'
    ORDER BY delivery.sequence
    LIMIT $3
) AS found
ORDER BY wanted.place, found.sequence
