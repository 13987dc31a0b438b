-- Forgets a document of the version that was read; no row where another one is there.
DELETE FROM roombell.document WHERE key = $1::text AND version = $2::bigint RETURNING 1
