-- An event owed to an endpoint.
INSERT INTO delivery (event, lane_id, sequence, owed_since_ms, state, attempts, reason, settled_at_ms)
VALUES (?, ?, ?, ?, 'pending', 0, '', NULL)
