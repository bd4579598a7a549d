DROP TABLE event_state;
DROP TABLE event_summary;
CREATE TABLE event_count (
    camera_id      TEXT NOT NULL REFERENCES camera (id) ON DELETE CASCADE,
    detection_type TEXT    NOT NULL,
    hour_us        INTEGER NOT NULL,
    events         INTEGER NOT NULL,
    PRIMARY KEY (camera_id, detection_type, hour_us)
) STRICT, WITHOUT ROWID;
INSERT INTO event_count (camera_id, detection_type, hour_us, events)
SELECT camera_id, detection_type, hour_us, count(*)
FROM (
    SELECT camera_id, detection_type,
        -- Rounded down, also before 1970.
        started_us - ((started_us % 3600000000) + 3600000000) % 3600000000 AS hour_us
    FROM event
) AS e
GROUP BY camera_id, detection_type, hour_us;
