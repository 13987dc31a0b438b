-- Takes a lane over.
UPDATE lane SET lease_owner = ?, lease_expires_at_ms = ?, generation = generation + 1 WHERE id = ?
