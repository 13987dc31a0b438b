-- Ends a pending delivery by hand.
UPDATE delivery SET state = 'cancelled', reason = ?, settled_at_ms = ? WHERE event = ? AND lane_id = ? AND state = 'pending'
