-- Forgets a lane in which nothing is left.
DELETE FROM lane WHERE id = ? AND kept = 0 AND lease_owner IS NULL AND blocked = 0
