-- Whether anything from one sequence up to another is pending.
SELECT EXISTS (
    SELECT 1 FROM delivery WHERE lane_id = ? AND sequence >= ? AND sequence < ? AND state = 'pending'
)
