-- The first documents in the order of their keys.
SELECT key, version, value FROM document ORDER BY key LIMIT ?
