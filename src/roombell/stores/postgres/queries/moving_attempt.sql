-- Attempts in the order of acceptance, lane and number.
SELECT event, lane_id, number, started_at_ms, duration_ms, outcome, status, detail
FROM roombell.attempt
WHERE (event, lane_id, number) > ($1, $2, $3)
ORDER BY event, lane_id, number
LIMIT $4
