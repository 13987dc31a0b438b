-- Attempts in the order of acceptance, lane and number.
SELECT event, lane_id, number, started_at_ms, duration_ms, outcome, status, detail
FROM attempt
WHERE (event, lane_id, number) > (?, ?, ?)
ORDER BY event, lane_id, number
LIMIT ?
