-- Since when the oldest delivery in each endpoint's leased lanes is owed. As many lanes as workers hold.
SELECT endpoint_id, min((
    SELECT owed_since_ms
    FROM delivery
    WHERE lane_id = lane.id AND sequence >= lane.head_sequence AND state = 'pending'
    ORDER BY sequence
    LIMIT 1
))
FROM lane INDEXED BY lane_leased
WHERE lease_owner IS NOT NULL
GROUP BY endpoint_id
