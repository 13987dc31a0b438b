-- What a commit made of a lane.
UPDATE lane
SET last_sequence = ?, kept = ?, head_sequence = ?, head_owed_since_ms = ?, pending = ?, due_at_ms = ?, lease_owner = ?,
    lease_expires_at_ms = ?, generation = ?, blocked = ?, recalled = ?
WHERE id = ?
