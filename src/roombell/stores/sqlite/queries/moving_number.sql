-- Fills the numbers in, in the order of the keys as PostgreSQL keeps them.
INSERT INTO temp.numbered (number, document)
SELECT row_number() OVER (ORDER BY kept(key)), rowid FROM document
