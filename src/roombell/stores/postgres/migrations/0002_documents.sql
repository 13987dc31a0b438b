-- Values that are kept beside the events, by key. version: what a writer must have read to replace it.
CREATE TABLE roombell.document (
    key text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    value bytea NOT NULL
);
