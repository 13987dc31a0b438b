-- Takes a lane over.
UPDATE lane SET lease_owner = ?, lease_expires_at_ms = ?, generation = generation + 1, recalled = 0 WHERE id = ?
