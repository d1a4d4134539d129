-- What a person is told: each fact once, with how often it was seen.
CREATE TABLE notice(
  id     INTEGER PRIMARY KEY,
  key    TEXT NOT NULL,                    -- the same for the same fact
  value  TEXT NOT NULL,                    -- as it was first seen (JSON)
  first  REAL NOT NULL,
  last   REAL NOT NULL,
  count  INTEGER NOT NULL DEFAULT 1,
  open   INTEGER NOT NULL DEFAULT 1        -- the same fact again is counted here
) STRICT;
CREATE UNIQUE INDEX notice_open ON notice(key) WHERE open = 1;

-- One row for each target that a notice goes to.
CREATE TABLE delivery(
  id       INTEGER PRIMARY KEY,
  notice   INTEGER NOT NULL REFERENCES notice(id) ON DELETE CASCADE,
  target   TEXT NOT NULL,
  state    TEXT NOT NULL CHECK(state IN ('waiting', 'sending', 'sent', 'dead', 'moot')),
  rank     INTEGER NOT NULL,               -- of its priority; 0 is urgent
  due      REAL NOT NULL,
  tries    INTEGER NOT NULL DEFAULT 0,
  batch    TEXT,                           -- the message that it went, or goes, with
  remote   TEXT,                           -- what the far end calls that message
  why      TEXT NOT NULL DEFAULT '',       -- of the last try that failed
  at       REAL,                           -- when it was sent, or given up
  UNIQUE(notice, target)
) STRICT;
CREATE INDEX delivery_due ON delivery(target, rank, id) WHERE state = 'waiting';
CREATE INDEX delivery_batch ON delivery(batch) WHERE batch IS NOT NULL;
CREATE INDEX delivery_sent ON delivery(target, at) WHERE state = 'sent';
