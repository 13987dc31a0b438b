-- Puts a document in place of the version that was read; no row where another one is there.
UPDATE document SET version = :version, value = :value WHERE key = :key AND version = :replaces
