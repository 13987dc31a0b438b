-- Forgets the attempts of a delivery.
DELETE FROM attempt WHERE lane_id = ? AND sequence = ?
