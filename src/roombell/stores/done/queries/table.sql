-- What handlers have done, in the database where they did it: a row is written in the transaction of their own writes.
CREATE TABLE IF NOT EXISTS roombell_done (
    event_id TEXT NOT NULL,
    handler TEXT NOT NULL,
    done_at_ms BIGINT NOT NULL,
    PRIMARY KEY (event_id, handler)
)
