-- What became of a pending delivery. Attempts are numbered one by one: 0 stands for a settlement without an attempt.
UPDATE delivery
SET state = ?, attempts = max(attempts, ?), strikes = strikes + ?, reason = ?, settled_at_ms = ?
WHERE lane_id = ? AND sequence = ? AND state = 'pending' AND ? IN (0, attempts + 1)
