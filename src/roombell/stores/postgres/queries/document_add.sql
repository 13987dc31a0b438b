-- Puts a document where there is none; no row where there is one.
INSERT INTO roombell.document (key, version, value) VALUES ($1::text, $2::bigint, $3::bytea)
ON CONFLICT DO NOTHING
RETURNING 1
