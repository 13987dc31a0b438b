-- Lets locked lanes go on now.
UPDATE roombell.lane SET blocked = 0, due_at_ms = $2 WHERE id = ANY ($1::bigint[]) AND blocked <> 0
