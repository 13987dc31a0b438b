-- Documents in the order of their keys.
SELECT key, version, value FROM document WHERE key > ? ORDER BY key LIMIT ?
