-- A worker goes.
DELETE FROM roombell.worker WHERE owner = $1 RETURNING owner
