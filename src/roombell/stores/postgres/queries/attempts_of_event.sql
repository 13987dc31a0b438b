-- Every attempt at the deliveries of an event, in order in each lane.
SELECT lane_id, number, started_at_ms, duration_ms, outcome, status, detail
FROM roombell.attempt
WHERE event = $1
ORDER BY lane_id, number
