-- Whom to ask for descriptions. The key is sealed.
CREATE TABLE ai_provider (
    id                  TEXT    NOT NULL PRIMARY KEY,
    name                TEXT    NOT NULL,
    -- Without case, for uniqueness.
    name_key            TEXT    NOT NULL UNIQUE,
    created_us          INTEGER NOT NULL,
    updated_us          INTEGER NOT NULL,
    kind                TEXT    NOT NULL,
    model               TEXT    NOT NULL,
    base_url            TEXT,
    api_key             TEXT,
    enabled             INTEGER NOT NULL,
    priority            INTEGER NOT NULL,
    timeout_s           INTEGER NOT NULL,
    max_output_tokens   INTEGER NOT NULL,
    -- Prices were set by hand; either may still be unknown.
    has_prices          INTEGER NOT NULL,
    price_input         REAL,
    price_output        REAL,
    max_concurrent      INTEGER NOT NULL,
    requests_per_minute INTEGER
) STRICT;
CREATE UNIQUE INDEX ai_provider_builtin ON ai_provider (kind) WHERE kind = 'builtin';

-- The one provider of a new installation: without network, at no cost.
INSERT INTO ai_provider (id, name, name_key, created_us, updated_us, kind, model, enabled, priority, timeout_s,
    max_output_tokens, has_prices, max_concurrent)
VALUES ('00000000-0000-7000-8000-000000000001', 'builtin', 'builtin', CAST(strftime('%s', 'now') AS INTEGER) * 1000000,
    CAST(strftime('%s', 'now') AS INTEGER) * 1000000,
    'builtin', 'builtin-1', 1, 1000, 30, 400, 0, 4);

-- Every call to a provider, booked before anything leaves. It outlives its event, for the account of what was sent and
-- spent; what the event showed goes with the event.
CREATE TABLE ai_call (
    id             TEXT    NOT NULL PRIMARY KEY,
    created_us     INTEGER NOT NULL,
    finished_us    INTEGER,
    -- A crash leaves it open; the next start makes it interrupted.
    state          TEXT    NOT NULL CHECK (state IN ('open', 'answered', 'failed', 'interrupted')),
    purpose        TEXT    NOT NULL,
    analysis_id    TEXT,
    event_id       TEXT,
    camera_id      TEXT,
    analysis_mode  TEXT,
    provider       TEXT    NOT NULL,
    provider_id    TEXT,
    provider_name  TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    host           TEXT,
    is_remote      INTEGER NOT NULL,
    -- Null: the event was deleted, and with it every text of the call.
    prompt         TEXT,
    parameters     TEXT    NOT NULL,
    frames         TEXT    NOT NULL,
    frame_count    INTEGER NOT NULL,
    bytes_sent     INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL,
    error_kind     TEXT,
    error          TEXT,
    raw_answer     TEXT,
    tokens_input   INTEGER,
    tokens_output  INTEGER,
    -- US dollars that are reserved while it is open.
    estimate       REAL,
    cost           REAL,
    cost_estimated INTEGER NOT NULL,
    price_version  TEXT,
    waited_ms      INTEGER,
    first_byte_ms  INTEGER,
    total_ms       INTEGER,
    -- The answer as it was understood, so that it is used after a crash and not paid for twice.
    description    TEXT,
    confidence     INTEGER,
    objects        TEXT,
    is_vague       INTEGER NOT NULL
) STRICT;
CREATE INDEX ai_call_by_time ON ai_call (created_us, id);
CREATE INDEX ai_call_sent ON ai_call (created_us, id) WHERE host IS NOT NULL;
CREATE INDEX ai_call_open ON ai_call (created_us) WHERE state = 'open';
CREATE INDEX ai_call_by_event ON ai_call (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX ai_call_by_analysis ON ai_call (analysis_id, created_us) WHERE analysis_id IS NOT NULL;

-- The highest part of a budget that was told of, in percent, for the period that began at a moment.
CREATE TABLE ai_budget_told (
    budget    TEXT    NOT NULL PRIMARY KEY,
    start_us  INTEGER NOT NULL,
    limit_usd REAL    NOT NULL,
    percent   INTEGER NOT NULL
) STRICT;

-- How an analysis spent its time, milliseconds.
ALTER TABLE analysis ADD COLUMN queued_ms INTEGER;
ALTER TABLE analysis ADD COLUMN frames_ms INTEGER;
ALTER TABLE analysis ADD COLUMN providers_ms INTEGER;
ALTER TABLE analysis ADD COLUMN stored_ms INTEGER;

-- What the pictures of an analysis look like, to find out whether the next event looks the same; JSON.
CREATE TABLE analysis_look (
    analysis_id TEXT NOT NULL PRIMARY KEY REFERENCES analysis (id) ON DELETE CASCADE,
    looks       TEXT NOT NULL
) STRICT;

-- Grows with every lease of any job: a worker whose lease ran out cannot end what another works on.
ALTER TABLE analysis_job ADD COLUMN lease_token INTEGER NOT NULL DEFAULT 0;
