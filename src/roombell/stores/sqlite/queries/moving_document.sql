-- Documents, numbered in the order of their keys as PostgreSQL keeps them.
SELECT numbered.number, document.key, document.version, document.value
FROM temp.numbered AS numbered
JOIN document ON document.rowid = numbered.document
WHERE numbered.number > ?
ORDER BY numbered.number
LIMIT ?
