-- What is pending in lanes from one sequence up to another, oldest first.
SELECT wanted.lane_id, found.sequence
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS wanted (lane_id, first, last)
CROSS JOIN LATERAL (
    SELECT delivery.sequence
    FROM roombell.delivery
    WHERE delivery.lane_id = wanted.lane_id AND delivery.state = 'pending'
        AND delivery.sequence >= wanted.first AND delivery.sequence <= wanted.last
    ORDER BY delivery.sequence
    LIMIT $4
) AS found
