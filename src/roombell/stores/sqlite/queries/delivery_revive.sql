-- Makes a settled delivery pending again, as if it were accepted now, save for its place and its attempts.
UPDATE delivery
SET state = 'pending', strikes = 0, reason = '', settled_at_ms = NULL, owed_since_ms = ?
WHERE event = ? AND lane_id = ? AND state <> 'pending'
