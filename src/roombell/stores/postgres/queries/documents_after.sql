-- Documents in the order of their keys; the first ones where none is named.
SELECT key, version, value FROM roombell.document
WHERE key > coalesce($1::text, '') OR $1 IS NULL
ORDER BY key
LIMIT $2::integer
