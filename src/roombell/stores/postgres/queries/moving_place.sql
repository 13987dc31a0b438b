-- Moves the place, if nobody else did.
UPDATE roombell.moving
SET part = $1, place = $2, rows = $3, fingerprint = coalesce($4, fingerprint)
WHERE part = $5 AND place = $6
RETURNING 1
