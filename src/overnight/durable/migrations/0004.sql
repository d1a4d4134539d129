-- What is looked at all day is found without reading what is not shown.
ALTER TABLE task ADD COLUMN title TEXT;    -- of its input, kept by the triggers below
UPDATE task SET title = json_extract(input, '$.title');
CREATE TRIGGER task_titled AFTER INSERT ON task BEGIN
  UPDATE task SET title = json_extract(new.input, '$.title') WHERE id = new.id;
END;
CREATE TRIGGER task_retitled AFTER UPDATE OF input ON task BEGIN
  UPDATE task SET title = json_extract(new.input, '$.title') WHERE id = new.id;
END;
DROP INDEX task_done;
CREATE INDEX task_seen  ON task(updated DESC, id, lane, phase, title);
CREATE INDEX task_ended ON task(updated DESC, id, state, phase, lane) WHERE state = 'done';
CREATE INDEX task_past  ON task(lane, updated DESC, id, state) WHERE state = 'done';
CREATE INDEX task_open  ON task(lane, priority DESC, created, id) WHERE state != 'done';
CREATE INDEX task_begun ON task(priority DESC, created, id, state, hold, phase, need_pool)
  WHERE state != 'done' AND hold IS NULL AND phase != 'queued';
CREATE INDEX task_queue ON task(priority DESC, created, id, state, hold, phase, life)
  WHERE state != 'done' AND hold IS NULL AND phase = 'queued';
CREATE INDEX task_line  ON task(lane, priority DESC, created, id, state, hold, phase)
  WHERE state != 'done' AND hold IS NULL AND phase = 'queued';
CREATE INDEX task_held  ON task(updated, id) WHERE state != 'done' AND hold IS NOT NULL;

-- Rare kinds of events among a great many.
CREATE INDEX event_asked    ON event(task, seq) WHERE what = 'question.asked';
CREATE INDEX event_wish     ON event(seq) WHERE what = 'question.asked';
CREATE INDEX event_answered ON event(task, seq) WHERE what = 'question.answered';
CREATE INDEX event_life     ON event(task, seq) WHERE what IN ('task.submitted', 'task.retried', 'task.ended');
CREATE INDEX event_canary   ON event(seq) WHERE what IN ('canary.passed', 'canary.failed');
CREATE INDEX event_audit    ON event(seq) WHERE what = 'audit.broken';
CREATE INDEX event_up       ON event(seq) WHERE what = 'daemon.up';

CREATE INDEX step_ran ON step(finished) WHERE name LIKE 'run %';
CREATE INDEX spend_settled ON spend(settled) WHERE settled IS NOT NULL;
CREATE INDEX spend_lately ON spend(repo, settled DESC) WHERE settled IS NOT NULL;
CREATE INDEX spend_latest ON spend(repo, at DESC);

-- What each span of time and repo took so far, kept in step with `spend`. which: a day, a month, or empty for ever.
CREATE TABLE spent(
  which  TEXT NOT NULL,
  repo   TEXT NOT NULL,
  usd    INTEGER NOT NULL DEFAULT 0,
  tokens INTEGER NOT NULL DEFAULT 0,
  held_usd    INTEGER NOT NULL DEFAULT 0,
  held_tokens INTEGER NOT NULL DEFAULT 0,
  unpriced    INTEGER NOT NULL DEFAULT 0,
  runs        INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(which, repo)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER spend_added AFTER INSERT ON spend BEGIN
  INSERT INTO spent SELECT value, new.repo, new.usd, new.tokens, new.reserved_usd, new.reserved_tokens, new.unpriced != 0, 1
    FROM json_each(json_array(new.day, new.month, '')) WHERE true
    ON CONFLICT DO UPDATE SET usd = usd + excluded.usd, tokens = tokens + excluded.tokens,
      held_usd = held_usd + excluded.held_usd, held_tokens = held_tokens + excluded.held_tokens,
      unpriced = unpriced + excluded.unpriced, runs = runs + 1;
END;
CREATE TRIGGER spend_gone AFTER DELETE ON spend BEGIN
  UPDATE spent SET usd = usd - old.usd, tokens = tokens - old.tokens, held_usd = held_usd - old.reserved_usd,
    held_tokens = held_tokens - old.reserved_tokens, unpriced = unpriced - (old.unpriced != 0), runs = runs - 1
    WHERE repo = old.repo AND which IN (old.day, old.month, '');
END;
CREATE TRIGGER spend_changed AFTER UPDATE ON spend BEGIN
  UPDATE spent SET usd = usd - old.usd, tokens = tokens - old.tokens, held_usd = held_usd - old.reserved_usd,
    held_tokens = held_tokens - old.reserved_tokens, unpriced = unpriced - (old.unpriced != 0), runs = runs - 1
    WHERE repo = old.repo AND which IN (old.day, old.month, '');
  INSERT INTO spent SELECT value, new.repo, new.usd, new.tokens, new.reserved_usd, new.reserved_tokens, new.unpriced != 0, 1
    FROM json_each(json_array(new.day, new.month, '')) WHERE true
    ON CONFLICT DO UPDATE SET usd = usd + excluded.usd, tokens = tokens + excluded.tokens,
      held_usd = held_usd + excluded.held_usd, held_tokens = held_tokens + excluded.held_tokens,
      unpriced = unpriced + excluded.unpriced, runs = runs + 1;
END;
INSERT INTO spent
  SELECT which, repo, sum(usd), sum(tokens), sum(reserved_usd), sum(reserved_tokens), sum(unpriced != 0), count(*) FROM (
    SELECT repo, day AS which, usd, tokens, reserved_usd, reserved_tokens, unpriced FROM spend
    UNION ALL SELECT repo, month, usd, tokens, reserved_usd, reserved_tokens, unpriced FROM spend
    UNION ALL SELECT repo, '', usd, tokens, reserved_usd, reserved_tokens, unpriced FROM spend
  ) GROUP BY which, repo;
