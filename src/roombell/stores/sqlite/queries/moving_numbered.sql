-- Numbers the documents once, beside the file: every chunk that is read would sort them all again.
CREATE TEMP TABLE IF NOT EXISTS numbered (number INTEGER PRIMARY KEY, document INTEGER NOT NULL) STRICT
