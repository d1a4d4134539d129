-- Everything that was ever seen in agents' logs. What a log loses stays here.
CREATE TABLE meta(
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Logs as they were read last.
CREATE TABLE file(
  path   TEXT PRIMARY KEY,
  dev    INTEGER NOT NULL,
  ino    INTEGER NOT NULL,
  size   INTEGER NOT NULL,
  mtime  INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  mark   BLOB NOT NULL,
  state  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session(
  id     INTEGER PRIMARY KEY,
  agent  TEXT NOT NULL,
  name   TEXT NOT NULL,
  folder TEXT NOT NULL DEFAULT '',         -- where its first answer was given
  placed INTEGER NOT NULL DEFAULT 4611686018427387904,  -- when that was, milliseconds
  run    TEXT NOT NULL DEFAULT '',         -- the run of Overnight's that it was; empty: a person's own
  repo   TEXT NOT NULL DEFAULT '',         -- that run's repo
  free   INTEGER NOT NULL DEFAULT 0,       -- on a server of one's own
  UNIQUE(agent, name)
) STRICT;

CREATE TABLE billing(
  id     INTEGER PRIMARY KEY,
  vendor TEXT NOT NULL,
  model  TEXT NOT NULL,
  tier   TEXT NOT NULL,
  speed  TEXT NOT NULL,
  geo    TEXT NOT NULL,
  UNIQUE(vendor, model, tier, speed, geo)
) STRICT;

-- One row for each answer of a model.
CREATE TABLE answer(
  key      INTEGER PRIMARY KEY,
  at       INTEGER NOT NULL,               -- milliseconds since the epoch; 4611686018427387904 where nobody knows
  rank     INTEGER NOT NULL,               -- how sure its session is, and the time that decides it
  owned    INTEGER NOT NULL,
  session  INTEGER NOT NULL,
  billing  INTEGER NOT NULL,
  input    INTEGER NOT NULL,
  output   INTEGER NOT NULL,
  thinking INTEGER NOT NULL,
  read     INTEGER NOT NULL,
  written  INTEGER NOT NULL,
  hour     INTEGER NOT NULL,
  searches INTEGER NOT NULL,
  steps    BLOB,
  known    INTEGER NOT NULL,
  cost     INTEGER,                        -- in 10^-12 dollars; NULL: no known price
  bill     INTEGER NOT NULL DEFAULT 0      -- 1: of a run's bill, where its log is gone
) STRICT;
CREATE INDEX answer_at ON answer(at);
CREATE INDEX answer_bill ON answer(session) WHERE bill;

-- The same, added up by quarter of an hour, session and billing.
CREATE TABLE cell(
  quarter  INTEGER NOT NULL,               -- quarters of an hour since the epoch
  session  INTEGER NOT NULL,
  billing  INTEGER NOT NULL,
  answers  INTEGER NOT NULL,
  input    INTEGER NOT NULL,
  output   INTEGER NOT NULL,
  thinking INTEGER NOT NULL,
  read     INTEGER NOT NULL,
  written  INTEGER NOT NULL,
  hour     INTEGER NOT NULL,
  searches INTEGER NOT NULL,
  unknown  INTEGER NOT NULL,               -- answers that do not say what they used
  unpriced INTEGER NOT NULL,               -- answers without a known price
  cost     INTEGER NOT NULL,
  PRIMARY KEY(quarter, session, billing)
) STRICT, WITHOUT ROWID;

-- Rates as they were looked up; hour 0 where they are the same at all times.
CREATE TABLE rate(
  vendor TEXT NOT NULL,
  model  TEXT NOT NULL,
  tier   TEXT NOT NULL,
  speed  TEXT NOT NULL,
  geo    TEXT NOT NULL,
  hour   INTEGER NOT NULL,
  rates  TEXT,
  PRIMARY KEY(vendor, model, tier, speed, geo, hour)
) STRICT, WITHOUT ROWID;

-- What logs said last of vendors' limits.
CREATE TABLE window(
  agent  TEXT NOT NULL,
  name   TEXT NOT NULL,
  used   REAL,
  resets REAL,
  status TEXT NOT NULL,
  seen   REAL NOT NULL,
  PRIMARY KEY(agent, name)
) STRICT, WITHOUT ROWID;
