-- An attempt at a pending delivery, for the record.
INSERT INTO attempt (event, lane_id, number, started_at_ms, duration_ms, outcome, status, detail)
SELECT event, lane_id, ?, ?, ?, ?, ?, ?
FROM delivery
WHERE lane_id = ? AND sequence = ? AND state = 'pending'
