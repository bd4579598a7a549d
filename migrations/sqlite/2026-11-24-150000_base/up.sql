CREATE TABLE camera (
    id                 TEXT    NOT NULL PRIMARY KEY,
    name               TEXT    NOT NULL,
    -- The name with its case folded: names are unique ignoring case, in every script.
    name_key           TEXT    NOT NULL UNIQUE,
    created_us         INTEGER NOT NULL,
    updated_us         INTEGER NOT NULL,
    source_type        TEXT    NOT NULL,
    rtsp_url           TEXT,
    username           TEXT,
    -- Sealed, never in clear.
    password           TEXT,
    rtsp_transport     TEXT    NOT NULL,
    device_index       INTEGER,
    file_path          TEXT,
    looped             INTEGER NOT NULL,
    test_pattern       TEXT,
    is_enabled         INTEGER NOT NULL,
    frame_rate         INTEGER NOT NULL,
    motion_enabled     INTEGER NOT NULL,
    motion_sensitivity TEXT    NOT NULL,
    motion_cooldown_s  INTEGER NOT NULL,
    pre_roll_s         INTEGER NOT NULL,
    post_roll_s        INTEGER NOT NULL,
    max_event_s        INTEGER NOT NULL,
    analysis_mode      TEXT    NOT NULL,
    prompt_override    TEXT,
    zones              TEXT    NOT NULL,
    schedule           TEXT,
    status             TEXT    NOT NULL,
    status_us          INTEGER NOT NULL,
    last_error         TEXT,
    last_error_kind    TEXT
) STRICT;
CREATE INDEX camera_by_age ON camera (created_us, id);

CREATE TABLE event (
    -- Only for the full-text index, which names its rows by number.
    seq                  INTEGER PRIMARY KEY,
    id                   TEXT    NOT NULL UNIQUE,
    camera_id            TEXT    NOT NULL REFERENCES camera (id) ON DELETE CASCADE,
    created_us           INTEGER NOT NULL,
    updated_us           INTEGER NOT NULL,
    started_us           INTEGER NOT NULL,
    ended_us             INTEGER,
    last_motion_us       INTEGER NOT NULL,
    detected_us          INTEGER NOT NULL,
    described_us         INTEGER,
    source_type          TEXT    NOT NULL,
    detection_type       TEXT    NOT NULL,
    objects              TEXT    NOT NULL,
    description          TEXT    NOT NULL,
    -- The words of the description, case folded, one blank between them.
    search_text          TEXT    NOT NULL,
    description_status   TEXT    NOT NULL,
    status_reason        TEXT,
    confidence           INTEGER NOT NULL,
    ai_confidence        INTEGER,
    low_confidence       INTEGER NOT NULL,
    zones                TEXT    NOT NULL,
    motion               TEXT,
    is_doorbell_ring     INTEGER NOT NULL,
    provider_used        TEXT,
    model                TEXT,
    analysis_mode        TEXT,
    frame_count_used     INTEGER,
    fallback_reason      TEXT,
    ai_cost              REAL,
    tokens_used          INTEGER,
    ai_response_time_ms  INTEGER,
    reanalysis_count     INTEGER NOT NULL,
    reanalyzed_us        INTEGER,
    alert_triggered      INTEGER NOT NULL,
    protect_event_id     TEXT,
    smart_detection_type TEXT,
    correlation_group_id TEXT,
    thumb_stored         INTEGER NOT NULL,
    clip_state           TEXT    NOT NULL,
    clip_bytes           INTEGER,
    clip_from_us         INTEGER,
    clip_until_us        INTEGER,
    frames_state         TEXT    NOT NULL
) STRICT;
CREATE INDEX event_by_time ON event (started_us, id);
CREATE INDEX event_by_camera ON event (camera_id, started_us, id);
CREATE INDEX event_unfinished ON event (started_us)
    WHERE ended_us IS NULL OR clip_state = 'pending' OR frames_state = 'pending';
CREATE INDEX event_pending ON event (started_us) WHERE description_status = 'pending';

-- The words arrive folded and separated by blanks, so everything else is part of a word.
CREATE VIRTUAL TABLE event_fts USING fts5 (
    search_text,
    content = 'event',
    content_rowid = 'seq',
    columnsize = 0,
    detail = none,
    prefix = '2 3',
    tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* S* P* C*'"
);
CREATE TRIGGER event_fts_insert AFTER INSERT ON event BEGIN
    INSERT INTO event_fts (rowid, search_text) VALUES (new.seq, new.search_text);
END;
CREATE TRIGGER event_fts_delete AFTER DELETE ON event BEGIN
    INSERT INTO event_fts (event_fts, rowid, search_text) VALUES ('delete', old.seq, old.search_text);
END;
CREATE TRIGGER event_fts_update AFTER UPDATE OF search_text ON event WHEN old.search_text <> new.search_text BEGIN
    INSERT INTO event_fts (event_fts, rowid, search_text) VALUES ('delete', old.seq, old.search_text);
    INSERT INTO event_fts (rowid, search_text) VALUES (new.seq, new.search_text);
END;

CREATE TABLE event_frame (
    event_id  TEXT    NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    idx       INTEGER NOT NULL,
    offset_ms INTEGER NOT NULL,
    sha256    TEXT    NOT NULL,
    width     INTEGER NOT NULL,
    height    INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    stored    INTEGER NOT NULL,
    PRIMARY KEY (event_id, idx)
) STRICT, WITHOUT ROWID;

-- Events per camera, kind and hour, kept by the transactions that add and remove events.
CREATE TABLE event_count (
    camera_id      TEXT    NOT NULL REFERENCES camera (id) ON DELETE CASCADE,
    detection_type TEXT    NOT NULL,
    hour_us        INTEGER NOT NULL,
    events         INTEGER NOT NULL,
    PRIMARY KEY (camera_id, detection_type, hour_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE analysis (
    id             TEXT    NOT NULL PRIMARY KEY,
    event_id       TEXT    NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    created_us     INTEGER NOT NULL,
    finished_us    INTEGER,
    asked_by       TEXT    NOT NULL,
    status         TEXT    NOT NULL,
    provider       TEXT,
    provider_id    TEXT,
    provider_name  TEXT,
    model          TEXT,
    analysis_mode  TEXT    NOT NULL,
    parameters     TEXT    NOT NULL,
    prompt         TEXT    NOT NULL,
    frames         TEXT    NOT NULL,
    description    TEXT,
    confidence     INTEGER,
    objects        TEXT    NOT NULL,
    tokens_input   INTEGER,
    tokens_output  INTEGER,
    tokens_used    INTEGER,
    cost           REAL,
    cost_estimated INTEGER NOT NULL,
    latency_ms     INTEGER,
    fallback_path  TEXT    NOT NULL,
    raw_answer     TEXT,
    error          TEXT
) STRICT;
CREATE INDEX analysis_by_event ON analysis (event_id, created_us, id);
CREATE INDEX analysis_running ON analysis (created_us) WHERE status = 'running';

CREATE TABLE analysis_job (
    event_id       TEXT    NOT NULL PRIMARY KEY REFERENCES event (id) ON DELETE CASCADE,
    state          TEXT    NOT NULL CHECK (state IN ('waiting', 'ready', 'leased')),
    asked_by       TEXT    NOT NULL,
    priority       INTEGER NOT NULL,
    attempts       INTEGER NOT NULL,
    created_us     INTEGER NOT NULL,
    not_before_us  INTEGER NOT NULL,
    lease_until_us INTEGER NOT NULL,
    -- What was measured of the event, for the describer; JSON.
    facts          TEXT
) STRICT;
CREATE INDEX analysis_job_queue ON analysis_job (state, priority, created_us);

CREATE TABLE journal (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    type      TEXT    NOT NULL,
    at_us     INTEGER NOT NULL,
    camera_id TEXT,
    event_id  TEXT,
    data      TEXT    NOT NULL
) STRICT;
CREATE INDEX journal_by_event ON journal (event_id) WHERE event_id IS NOT NULL;

CREATE TABLE coverage (
    id        INTEGER PRIMARY KEY,
    camera_id TEXT    NOT NULL REFERENCES camera (id) ON DELETE CASCADE,
    from_us   INTEGER NOT NULL,
    until_us  INTEGER CHECK (until_us >= from_us),
    state     TEXT    NOT NULL CHECK (state IN ('received', 'missing', 'stopped')),
    reason    TEXT,
    seen_us   INTEGER NOT NULL
) STRICT;
CREATE INDEX coverage_by_camera ON coverage (camera_id, from_us, id);
CREATE UNIQUE INDEX coverage_open ON coverage (camera_id) WHERE until_us IS NULL;

CREATE TABLE api_key (
    id                    TEXT    NOT NULL PRIMARY KEY,
    name                  TEXT    NOT NULL,
    prefix                TEXT    NOT NULL,
    sha256                TEXT    NOT NULL UNIQUE,
    scopes                TEXT    NOT NULL,
    expires_us            INTEGER,
    rate_limit_per_minute INTEGER NOT NULL,
    usage_count           INTEGER NOT NULL,
    last_used_us          INTEGER,
    last_used_ip          TEXT,
    created_us            INTEGER NOT NULL,
    created_by            TEXT,
    revoked_us            INTEGER
) STRICT;
CREATE INDEX api_key_by_age ON api_key (created_us, id);

CREATE TABLE setting (
    name       TEXT    NOT NULL PRIMARY KEY,
    json       TEXT    NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT;
