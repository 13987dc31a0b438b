-- How deliveries stand, now that their lanes are locked.
SELECT delivery.event, delivery.lane_id, delivery.state, delivery.settled_at_ms
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (event, lane_id)
JOIN roombell.delivery ON delivery.event = wanted.event AND delivery.lane_id = wanted.lane_id
