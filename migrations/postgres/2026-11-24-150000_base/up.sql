CREATE TABLE camera (
    id                 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name               TEXT    NOT NULL,
    -- The name with its case folded: names are unique ignoring case, in every script.
    name_key           TEXT COLLATE "C" NOT NULL UNIQUE,
    created_us         BIGINT  NOT NULL,
    updated_us         BIGINT  NOT NULL,
    source_type        TEXT    NOT NULL,
    rtsp_url           TEXT,
    username           TEXT,
    -- Sealed, never in clear.
    password           TEXT,
    rtsp_transport     TEXT    NOT NULL,
    device_index       INTEGER,
    file_path          TEXT,
    looped             BOOLEAN NOT NULL,
    test_pattern       TEXT,
    is_enabled         BOOLEAN NOT NULL,
    frame_rate         INTEGER NOT NULL,
    motion_enabled     BOOLEAN NOT NULL,
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
    status_us          BIGINT  NOT NULL,
    last_error         TEXT,
    last_error_kind    TEXT
);
CREATE INDEX camera_by_age ON camera (created_us, id);

CREATE TABLE event (
    id                   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    camera_id            TEXT COLLATE "C" NOT NULL REFERENCES camera (id) ON DELETE CASCADE,
    created_us           BIGINT  NOT NULL,
    updated_us           BIGINT  NOT NULL,
    started_us           BIGINT  NOT NULL,
    ended_us             BIGINT,
    last_motion_us       BIGINT  NOT NULL,
    detected_us          BIGINT  NOT NULL,
    described_us         BIGINT,
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
    low_confidence       BOOLEAN NOT NULL,
    zones                TEXT    NOT NULL,
    motion               TEXT,
    is_doorbell_ring     BOOLEAN NOT NULL,
    provider_used        TEXT,
    model                TEXT,
    analysis_mode        TEXT,
    frame_count_used     INTEGER,
    fallback_reason      TEXT,
    ai_cost              DOUBLE PRECISION,
    tokens_used          BIGINT,
    ai_response_time_ms  BIGINT,
    reanalysis_count     INTEGER NOT NULL,
    reanalyzed_us        BIGINT,
    alert_triggered      BOOLEAN NOT NULL,
    protect_event_id     TEXT,
    smart_detection_type TEXT,
    correlation_group_id TEXT,
    thumb_stored         BOOLEAN NOT NULL,
    clip_state           TEXT    NOT NULL,
    clip_bytes           BIGINT,
    clip_from_us         BIGINT,
    clip_until_us        BIGINT,
    frames_state         TEXT    NOT NULL,
    -- Every word as it is: no dictionary and no parser of its own.
    search_words         TSVECTOR NOT NULL GENERATED ALWAYS AS (array_to_tsvector(string_to_array(search_text, ' '))) STORED
);
CREATE INDEX event_by_time ON event (started_us, id);
CREATE INDEX event_by_camera ON event (camera_id, started_us, id);
CREATE INDEX event_unfinished ON event (started_us)
    WHERE ended_us IS NULL OR clip_state = 'pending' OR frames_state = 'pending';
CREATE INDEX event_pending ON event (started_us) WHERE description_status = 'pending';

CREATE INDEX event_search_words ON event USING gin (search_words);

CREATE TABLE event_frame (
    event_id  TEXT COLLATE "C" NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    idx       INTEGER NOT NULL,
    offset_ms BIGINT  NOT NULL,
    sha256    TEXT    NOT NULL,
    width     INTEGER NOT NULL,
    height    INTEGER NOT NULL,
    bytes     BIGINT  NOT NULL,
    stored    BOOLEAN NOT NULL,
    PRIMARY KEY (event_id, idx)
);

-- Events per camera, kind and hour, kept by the transactions that add and remove events.
CREATE TABLE event_count (
    camera_id      TEXT COLLATE "C" NOT NULL REFERENCES camera (id) ON DELETE CASCADE,
    detection_type TEXT    NOT NULL,
    hour_us        BIGINT  NOT NULL,
    events         BIGINT  NOT NULL,
    PRIMARY KEY (camera_id, detection_type, hour_us)
);

CREATE TABLE analysis (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    event_id       TEXT COLLATE "C" NOT NULL REFERENCES event (id) ON DELETE CASCADE,
    created_us     BIGINT  NOT NULL,
    finished_us    BIGINT,
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
    tokens_input   BIGINT,
    tokens_output  BIGINT,
    tokens_used    BIGINT,
    cost           DOUBLE PRECISION,
    cost_estimated BOOLEAN NOT NULL,
    latency_ms     BIGINT,
    fallback_path  TEXT    NOT NULL,
    raw_answer     TEXT,
    error          TEXT
);
CREATE INDEX analysis_by_event ON analysis (event_id, created_us, id);
CREATE INDEX analysis_running ON analysis (created_us) WHERE status = 'running';

CREATE TABLE analysis_job (
    event_id       TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES event (id) ON DELETE CASCADE,
    state          TEXT    NOT NULL CHECK (state IN ('waiting', 'ready', 'leased')),
    asked_by       TEXT    NOT NULL,
    priority       INTEGER NOT NULL,
    attempts       INTEGER NOT NULL,
    created_us     BIGINT  NOT NULL,
    not_before_us  BIGINT  NOT NULL,
    lease_until_us BIGINT  NOT NULL,
    -- What was measured of the event, for the describer; JSON.
    facts          TEXT
);
CREATE INDEX analysis_job_queue ON analysis_job (state, priority, created_us);

CREATE TABLE journal (
    seq       BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type      TEXT    NOT NULL,
    at_us     BIGINT  NOT NULL,
    camera_id TEXT COLLATE "C",
    event_id  TEXT COLLATE "C",
    data      TEXT    NOT NULL
);
CREATE INDEX journal_by_event ON journal (event_id) WHERE event_id IS NOT NULL;

CREATE TABLE coverage (
    id        BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    camera_id TEXT COLLATE "C" NOT NULL REFERENCES camera (id) ON DELETE CASCADE,
    from_us   BIGINT  NOT NULL,
    until_us  BIGINT  CHECK (until_us >= from_us),
    state     TEXT    NOT NULL CHECK (state IN ('received', 'missing', 'stopped')),
    reason    TEXT,
    seen_us   BIGINT  NOT NULL
);
CREATE INDEX coverage_by_camera ON coverage (camera_id, from_us, id);
CREATE UNIQUE INDEX coverage_open ON coverage (camera_id) WHERE until_us IS NULL;

CREATE TABLE api_key (
    id                    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name                  TEXT    NOT NULL,
    prefix                TEXT    NOT NULL,
    sha256                TEXT    NOT NULL UNIQUE,
    scopes                TEXT    NOT NULL,
    expires_us            BIGINT,
    rate_limit_per_minute INTEGER NOT NULL,
    usage_count           BIGINT  NOT NULL,
    last_used_us          BIGINT,
    last_used_ip          TEXT,
    created_us            BIGINT  NOT NULL,
    created_by            TEXT,
    revoked_us            BIGINT
);
CREATE INDEX api_key_by_age ON api_key (created_us, id);

CREATE TABLE setting (
    name       TEXT    NOT NULL PRIMARY KEY,
    json       TEXT    NOT NULL,
    updated_us BIGINT  NOT NULL
);
