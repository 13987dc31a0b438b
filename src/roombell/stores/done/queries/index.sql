-- Old rows are found by it.
CREATE INDEX IF NOT EXISTS ix_roombell_done_done_at_ms ON roombell_done (done_at_ms)
