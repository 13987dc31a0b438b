-- Forgets a document of the version that was read; no row where another one is there.
DELETE FROM document WHERE key = :key AND version = :replaces
