-- Forgets a lane in which nothing is left.
DELETE FROM lane
WHERE id = ? AND pending = 0 AND lease_owner IS NULL AND blocked = 0
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE lane_id = lane.id)
