-- Lets a blocked lane go on now.
UPDATE lane SET blocked = 0, due_at_ms = ? WHERE id = ? AND blocked <> 0
