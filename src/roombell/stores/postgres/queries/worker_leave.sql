-- A worker is gone, and need not be waited for.
DELETE FROM roombell.worker WHERE owner = $1 RETURNING owner
