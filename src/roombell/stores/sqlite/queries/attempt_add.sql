-- An attempt, for the record.
INSERT INTO attempt (lane_id, sequence, number, started_at_ms, duration_ms, outcome, status, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
