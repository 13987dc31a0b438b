-- Ends pending deliveries by hand.
UPDATE roombell.delivery
SET state = 'cancelled', reason = $3, settled_at_ms = $4
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (event, lane_id)
WHERE delivery.event = wanted.event AND delivery.lane_id = wanted.lane_id AND delivery.state = 'pending'
RETURNING delivery.event
