-- Makes settled deliveries pending again, as if they were accepted now, save for their places and attempts.
UPDATE roombell.delivery
SET state = 'pending', strikes = 0, reason = '', settled_at_ms = NULL, owed_since_ms = $3
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (event, lane_id)
WHERE delivery.event = wanted.event AND delivery.lane_id = wanted.lane_id AND delivery.state <> 'pending'
RETURNING delivery.event
