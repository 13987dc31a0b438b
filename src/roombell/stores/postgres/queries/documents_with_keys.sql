-- Documents, those that are there.
SELECT key, version, value FROM roombell.document WHERE key = ANY ($1::text[])
