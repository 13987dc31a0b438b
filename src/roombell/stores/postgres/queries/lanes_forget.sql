-- Forgets locked lanes in which nothing is left.
DELETE FROM roombell.lane
WHERE id = ANY ($1::bigint[]) AND kept = 0 AND lease_owner IS NULL AND blocked = 0
RETURNING id
