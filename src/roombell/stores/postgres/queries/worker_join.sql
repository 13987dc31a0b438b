-- A worker that was not there.
INSERT INTO roombell.worker (owner, delivers, joined_at_ms, expires_at_ms)
VALUES ($1, $2, $3, $4)
ON CONFLICT (owner) DO UPDATE SET expires_at_ms = excluded.expires_at_ms
