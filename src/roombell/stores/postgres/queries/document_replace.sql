-- Puts a document in place of the version that was read; no row where another one is there.
UPDATE roombell.document SET version = $2::bigint, value = $3::bytea
WHERE key = $1::text AND version = $4::bigint
RETURNING 1
