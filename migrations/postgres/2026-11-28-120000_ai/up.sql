-- Whom to ask for descriptions. The key is sealed.
CREATE TABLE ai_provider (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name                TEXT    NOT NULL,
    -- Without case, for uniqueness.
    name_key TEXT COLLATE "C" NOT NULL UNIQUE,
    created_us          BIGINT  NOT NULL,
    updated_us          BIGINT  NOT NULL,
    kind                TEXT    NOT NULL,
    model               TEXT    NOT NULL,
    base_url            TEXT,
    api_key             TEXT,
    enabled             BOOLEAN NOT NULL,
    priority            INTEGER NOT NULL,
    timeout_s           INTEGER NOT NULL,
    max_output_tokens   INTEGER NOT NULL,
    -- Prices were set by hand; either may still be unknown.
    has_prices          BOOLEAN NOT NULL,
    price_input         DOUBLE PRECISION,
    price_output        DOUBLE PRECISION,
    max_concurrent      INTEGER NOT NULL,
    requests_per_minute INTEGER
);
CREATE UNIQUE INDEX ai_provider_builtin ON ai_provider (kind) WHERE kind = 'builtin';

-- The one provider of a new installation: without network, at no cost.
INSERT INTO ai_provider (id, name, name_key, created_us, updated_us, kind, model, enabled, priority, timeout_s,
    max_output_tokens, has_prices, max_concurrent)
VALUES ('00000000-0000-7000-8000-000000000001', 'builtin', 'builtin', CAST(extract(epoch FROM now()) AS BIGINT) * 1000000,
    CAST(extract(epoch FROM now()) AS BIGINT) * 1000000,
    'builtin', 'builtin-1', TRUE, 1000, 30, 400, FALSE, 4);

-- Every call to a provider, booked before anything leaves. It outlives its event, for the account of what was sent and
-- spent; what the event showed goes with the event.
CREATE TABLE ai_call (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    created_us     BIGINT  NOT NULL,
    finished_us    BIGINT,
    -- A crash leaves it open; the next start makes it interrupted.
    state          TEXT    NOT NULL CHECK (state IN ('open', 'answered', 'failed', 'interrupted')),
    purpose        TEXT    NOT NULL,
    analysis_id TEXT COLLATE "C",
    event_id TEXT COLLATE "C",
    camera_id TEXT COLLATE "C",
    analysis_mode  TEXT,
    provider       TEXT    NOT NULL,
    provider_id TEXT COLLATE "C",
    provider_name  TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    host           TEXT,
    is_remote      BOOLEAN NOT NULL,
    -- Null: the event was deleted, and with it every text of the call.
    prompt         TEXT,
    parameters     TEXT    NOT NULL,
    frames         TEXT    NOT NULL,
    frame_count    INTEGER NOT NULL,
    bytes_sent     BIGINT  NOT NULL,
    bytes_received BIGINT  NOT NULL,
    error_kind     TEXT,
    error          TEXT,
    raw_answer     TEXT,
    tokens_input   BIGINT,
    tokens_output  BIGINT,
    -- US dollars that are reserved while it is open.
    estimate       DOUBLE PRECISION,
    cost           DOUBLE PRECISION,
    cost_estimated BOOLEAN NOT NULL,
    price_version  TEXT,
    waited_ms      BIGINT,
    first_byte_ms  BIGINT,
    total_ms       BIGINT,
    -- The answer as it was understood, so that it is used after a crash and not paid for twice.
    description    TEXT,
    confidence     INTEGER,
    objects        TEXT,
    is_vague       BOOLEAN NOT NULL
);
CREATE INDEX ai_call_by_time ON ai_call (created_us, id);
CREATE INDEX ai_call_sent ON ai_call (created_us, id) WHERE host IS NOT NULL;
CREATE INDEX ai_call_open ON ai_call (created_us) WHERE state = 'open';
CREATE INDEX ai_call_by_event ON ai_call (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX ai_call_by_analysis ON ai_call (analysis_id, created_us) WHERE analysis_id IS NOT NULL;

-- The highest part of a budget that was told of, in percent, for the period that began at a moment.
CREATE TABLE ai_budget_told (
    budget    TEXT    NOT NULL PRIMARY KEY,
    start_us  BIGINT  NOT NULL,
    limit_usd DOUBLE PRECISION NOT NULL,
    percent   INTEGER NOT NULL
);

-- How an analysis spent its time, milliseconds.
ALTER TABLE analysis ADD COLUMN queued_ms BIGINT;
ALTER TABLE analysis ADD COLUMN frames_ms BIGINT;
ALTER TABLE analysis ADD COLUMN providers_ms BIGINT;
ALTER TABLE analysis ADD COLUMN stored_ms BIGINT;

-- What the pictures of an analysis look like, to find out whether the next event looks the same; JSON.
CREATE TABLE analysis_look (
    analysis_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES analysis (id) ON DELETE CASCADE,
    looks       TEXT NOT NULL
);

-- Grows with every lease of any job: a worker whose lease ran out cannot end what another works on.
ALTER TABLE analysis_job ADD COLUMN lease_token BIGINT NOT NULL DEFAULT 0;
