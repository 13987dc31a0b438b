-- Every endpoint with its counts, its blocked lanes, and since when the oldest delivery at the heads of its lanes is owed:
-- of the unleased lanes by an index, of the leased ones one by one, which are as many as workers hold.
SELECT endpoint.id, endpoint.name, endpoint.state, endpoint.reason, endpoint.changed_at_ms, endpoint.health,
    coalesce(counted.pending, 0)::bigint, coalesce(counted.dead, 0)::bigint, (
        SELECT count(*) FROM roombell.lane WHERE lane.endpoint_id = endpoint.id AND lane.blocked <> 0
    ), least((
        SELECT lane.ageing_since_ms FROM roombell.lane
        WHERE lane.endpoint_id = endpoint.id AND lane.ageing_since_ms IS NOT NULL
        ORDER BY lane.endpoint_id, lane.ageing_since_ms
        LIMIT 1
    ), leased.owed_since_ms)
FROM roombell.endpoint
LEFT JOIN (
    SELECT endpoint_id, sum(pending) AS pending, sum(dead) AS dead FROM roombell.endpoint_count GROUP BY endpoint_id
) AS counted ON counted.endpoint_id = endpoint.id
LEFT JOIN (
    SELECT lane.endpoint_id, min(head.owed_since_ms) AS owed_since_ms
    FROM roombell.lane
    CROSS JOIN LATERAL (
        SELECT delivery.owed_since_ms
        FROM roombell.delivery
        WHERE delivery.lane_id = lane.id AND delivery.sequence >= lane.head_sequence AND delivery.state = 'pending'
        ORDER BY delivery.sequence
        LIMIT 1
    ) AS head
    WHERE lane.leased_until_ms IS NOT NULL
    GROUP BY lane.endpoint_id
) AS leased ON leased.endpoint_id = endpoint.id
ORDER BY endpoint.id
