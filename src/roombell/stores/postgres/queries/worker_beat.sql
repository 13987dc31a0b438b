-- Says that a worker lives. It joins with the first beat, and anew once it was taken for dead. Whether it joined now.
WITH gone AS (
    DELETE FROM roombell.worker WHERE expires_at_ms <= $2
    RETURNING owner
), alive AS (
    UPDATE roombell.worker SET expires_at_ms = $3 WHERE owner = $1 AND expires_at_ms > $2
    RETURNING owner
)
SELECT NOT EXISTS (SELECT FROM alive)
