-- Documents behind one that has a number, or, for the number 0, from a key on; numbered on in the order of their keys.
SELECT $1::bigint + row_number() OVER (ORDER BY key) AS number, key, version, value
FROM (
    SELECT key, version, value
    FROM roombell.document
    WHERE key >= $2
    ORDER BY key
    LIMIT $3 OFFSET least($1::bigint, 1)
) AS following
ORDER BY key
