-- A task is one flow's life. While it is driven its state stays what it was: memory is not truth.
CREATE TABLE task(
  id        TEXT PRIMARY KEY,
  flow      TEXT NOT NULL,
  lane      TEXT NOT NULL,                 -- what per-lane pauses and limits go by: the repo
  priority  INTEGER NOT NULL,
  life      INTEGER NOT NULL DEFAULT 1,    -- a retry is a new life: steps of an old one never answer
  state     TEXT NOT NULL CHECK(state IN ('ready', 'waiting', 'done')),
  phase     TEXT NOT NULL,                 -- where the flow says it is
  wait_for  TEXT,                          -- signal NAME | task ID | slot | hold | pause | pause-all | pause-lane | NULL
  need_pool TEXT, need_key TEXT,           -- waits for a slot
  wake_at   REAL,
  hold      TEXT,                          -- why it waits, for a person (JSON)
  want      TEXT CHECK(want IN ('pause', 'stop', 'cancel')),
  unwinding INTEGER NOT NULL DEFAULT 0,    -- it waits where no wish reaches it: in its clean-up, or half-way past return
  faults    INTEGER NOT NULL DEFAULT 0,    -- unexpected failures since the last finished step
  input     TEXT NOT NULL,
  output    TEXT,
  created   REAL NOT NULL,
  updated   REAL NOT NULL
) STRICT;
CREATE INDEX task_ready ON task(priority DESC, created, id) WHERE state = 'ready';
CREATE INDEX task_slot  ON task(need_pool, need_key, priority DESC, created, id) WHERE need_pool IS NOT NULL;
CREATE INDEX task_wake  ON task(wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX task_wait  ON task(wait_for) WHERE wait_for IS NOT NULL;
CREATE INDEX task_want  ON task(want) WHERE want IS NOT NULL;
CREATE INDEX task_done  ON task(updated) WHERE state = 'done';

-- The outcome of a finished step, for good.
CREATE TABLE step(
  task     TEXT NOT NULL REFERENCES task(id) ON DELETE CASCADE,
  life     INTEGER NOT NULL,
  name     TEXT NOT NULL,
  output   TEXT NOT NULL,
  started  REAL NOT NULL,
  finished REAL NOT NULL,
  PRIMARY KEY(task, life, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE signal(
  id      INTEGER PRIMARY KEY,
  task    TEXT NOT NULL REFERENCES task(id) ON DELETE CASCADE,
  name    TEXT NOT NULL,
  payload TEXT NOT NULL,
  at      REAL NOT NULL,
  step    TEXT                             -- the step that consumed it
) STRICT;
CREATE INDEX signal_inbox ON signal(task, name, id) WHERE step IS NULL;

-- Grants of pool slots. Released ones stay a while: rates count grants.
CREATE TABLE slot(
  id       INTEGER PRIMARY KEY,
  task     TEXT NOT NULL,
  pool     TEXT NOT NULL,
  key      TEXT NOT NULL,
  granted  REAL NOT NULL,
  released REAL
) STRICT;
CREATE UNIQUE INDEX slot_held ON slot(pool, key, task) WHERE released IS NULL;
CREATE INDEX slot_task ON slot(task) WHERE released IS NULL;
CREATE INDEX slot_rate ON slot(pool, granted);

-- Small named facts: registered repos, global pauses.
CREATE TABLE record(
  kind  TEXT NOT NULL,
  key   TEXT NOT NULL,
  value TEXT NOT NULL,
  at    REAL NOT NULL,
  PRIMARY KEY(kind, key)
) STRICT, WITHOUT ROWID;

-- What happened, who did it and why. Append-only; each digest covers the one before.
CREATE TABLE event(
  seq    INTEGER PRIMARY KEY,
  at     REAL NOT NULL,
  task   TEXT,
  actor  TEXT NOT NULL,
  what   TEXT NOT NULL,
  why    TEXT NOT NULL,
  data   TEXT NOT NULL,
  digest TEXT NOT NULL
) STRICT;
CREATE INDEX event_task ON event(task, seq);
CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
