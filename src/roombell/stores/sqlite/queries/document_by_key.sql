-- A document, if it is there.
SELECT key, version, value FROM document WHERE key = ?
