-- Writes an endpoint's state down, and when it changed.
UPDATE roombell.endpoint
SET state = $2, reason = $3, changed_at_ms = CASE state WHEN $2 THEN changed_at_ms ELSE $4 END
WHERE id = $1
RETURNING id
