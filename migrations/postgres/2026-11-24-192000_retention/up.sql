-- Null: there is none, or its size is not known yet; the sweep finds it out.
ALTER TABLE event ADD COLUMN thumb_bytes BIGINT;
-- All files of the event together.
ALTER TABLE event ADD COLUMN media_bytes BIGINT NOT NULL DEFAULT 0;
UPDATE event SET media_bytes =
    CASE WHEN clip_state = 'stored' THEN COALESCE(clip_bytes, 0) ELSE 0 END
    + COALESCE((SELECT SUM(bytes) FROM event_frame WHERE event_frame.event_id = event.id AND stored), 0)
WHERE clip_state = 'stored' OR frames_state = 'stored';
CREATE INDEX event_media ON event (started_us, id) WHERE media_bytes > 0;

-- Files per camera, kept by the transactions that add and remove them.
CREATE TABLE media_usage (
    camera_id        TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES camera (id) ON DELETE CASCADE,
    thumbnails_bytes BIGINT  NOT NULL,
    frames_bytes     BIGINT  NOT NULL,
    clips_bytes      BIGINT  NOT NULL,
    frames           BIGINT  NOT NULL,
    clips            BIGINT  NOT NULL
);
INSERT INTO media_usage (camera_id, thumbnails_bytes, frames_bytes, clips_bytes, frames, clips)
SELECT camera.id, 0,
    COALESCE((SELECT SUM(f.bytes) FROM event_frame f JOIN event e ON e.id = f.event_id
              WHERE e.camera_id = camera.id AND f.stored), 0),
    COALESCE((SELECT SUM(e.clip_bytes) FROM event e WHERE e.camera_id = camera.id AND e.clip_state = 'stored'), 0),
    (SELECT COUNT(*) FROM event_frame f JOIN event e ON e.id = f.event_id WHERE e.camera_id = camera.id AND f.stored),
    (SELECT COUNT(*) FROM event e WHERE e.camera_id = camera.id AND e.clip_state = 'stored')
FROM camera;

-- Folders whose rows are gone, written in the same transaction: their files are still to be removed.
CREATE TABLE media_trash (
    prefix TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at_us  BIGINT  NOT NULL
);

-- The kind of a notification: who may read it depends on that.
ALTER TABLE journal ADD COLUMN notice TEXT;
