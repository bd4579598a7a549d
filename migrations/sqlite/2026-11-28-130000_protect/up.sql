CREATE TABLE protect_controller (
    id                 TEXT    NOT NULL PRIMARY KEY,
    name               TEXT    NOT NULL,
    -- The name with its case folded.
    name_key           TEXT    NOT NULL UNIQUE,
    created_us         INTEGER NOT NULL,
    updated_us         INTEGER NOT NULL,
    host               TEXT    NOT NULL,
    port               INTEGER NOT NULL,
    -- Sealed, never in clear.
    api_key            TEXT,
    username           TEXT,
    -- Sealed, never in clear.
    password           TEXT,
    verify_tls         INTEGER NOT NULL,
    certificate_sha256 TEXT,
    is_enabled         INTEGER NOT NULL,
    -- The session that goes on after a restart. Sealed, never in clear.
    kept               TEXT,
    -- Every detection until then is known.
    known_until_us     INTEGER,
    last_connected_us  INTEGER,
    -- What makes events, by device, of those that somebody chose for.
    choices            TEXT    NOT NULL,
    UNIQUE (host, port)
) STRICT;

-- Null for cameras that no controller has, and after theirs was deleted.
ALTER TABLE camera ADD COLUMN protect_controller_id TEXT;
ALTER TABLE camera ADD COLUMN protect_camera_id TEXT;
ALTER TABLE camera ADD COLUMN protect_mac TEXT;
ALTER TABLE camera ADD COLUMN protect_name TEXT;
ALTER TABLE camera ADD COLUMN is_doorbell INTEGER NOT NULL DEFAULT 0;
ALTER TABLE camera ADD COLUMN detections TEXT;
CREATE UNIQUE INDEX camera_by_device ON camera (protect_controller_id, protect_camera_id)
    WHERE protect_controller_id IS NOT NULL;

-- One event for one detection, however often it is told.
CREATE UNIQUE INDEX event_by_detection ON event (camera_id, protect_event_id) WHERE protect_event_id IS NOT NULL;
