-- Values that are kept beside the events, by key. version: what a writer must have read to replace it.
CREATE TABLE document (
    key TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    value BLOB NOT NULL
) STRICT;
