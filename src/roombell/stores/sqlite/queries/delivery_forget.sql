-- Forgets a delivery.
DELETE FROM delivery WHERE lane_id = ? AND sequence = ?
