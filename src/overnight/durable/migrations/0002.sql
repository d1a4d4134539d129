-- What each run was given, and what it took. A run is in here once, so nothing of it counts twice.
CREATE TABLE spend(
  run       TEXT PRIMARY KEY,
  task      TEXT NOT NULL,
  repo      TEXT NOT NULL,
  day       TEXT NOT NULL,                 -- of its grant, by this machine's clock: 2026-11-21
  month     TEXT NOT NULL,
  at        REAL NOT NULL,
  paid      INTEGER NOT NULL,              -- it may be billed by use
  allowance TEXT NOT NULL,                 -- as it was granted (JSON)
  windows   TEXT NOT NULL,                 -- the limits that it was granted under (JSON)
  reserved_usd    INTEGER NOT NULL,        -- millionths of a millionth of a dollar, while it goes on
  reserved_tokens INTEGER NOT NULL,
  usd       INTEGER NOT NULL DEFAULT 0,    -- once it is settled
  tokens    INTEGER NOT NULL DEFAULT 0,
  unpriced  INTEGER NOT NULL DEFAULT 0,    -- a part of its cost is not known
  settled   REAL,
  CHECK(settled IS NOT NULL OR (usd = 0 AND tokens = 0)),
  CHECK(settled IS NULL OR (reserved_usd = 0 AND reserved_tokens = 0))
) STRICT;
CREATE INDEX spend_task ON spend(task);
CREATE INDEX spend_repo ON spend(repo, day);
CREATE INDEX spend_day ON spend(day);
CREATE INDEX spend_month ON spend(month);
CREATE INDEX spend_open ON spend(task) WHERE settled IS NULL;

-- Thresholds that were told: each once.
CREATE TABLE threshold(
  window  TEXT NOT NULL,
  percent INTEGER NOT NULL,
  at      REAL NOT NULL,
  PRIMARY KEY(window, percent)
) STRICT, WITHOUT ROWID;
