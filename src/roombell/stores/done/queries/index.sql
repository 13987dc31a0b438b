-- Old rows are found by it.
CREATE INDEX IF NOT EXISTS roombell_done_by_age ON roombell_done (done_at_ms)
