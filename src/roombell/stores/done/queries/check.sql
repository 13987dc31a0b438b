-- Whether the table is there and may be read.
SELECT count(*) FROM roombell_done WHERE done_at_ms < 0
