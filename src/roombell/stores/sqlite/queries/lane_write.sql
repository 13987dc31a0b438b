-- What a commit made of a lane.
UPDATE lane
SET last_sequence = ?, kept = ?, head_sequence = ?, head_accepted_at_ms = ?, pending = ?, due_at_ms = ?, lease_owner = ?,
    lease_expires_at_ms = ?, generation = ?, blocked = ?
WHERE id = ?
