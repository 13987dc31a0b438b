-- Puts a document where there is none; no row where there is one.
INSERT INTO document (key, version, value) VALUES (:key, :version, :value) ON CONFLICT DO NOTHING
