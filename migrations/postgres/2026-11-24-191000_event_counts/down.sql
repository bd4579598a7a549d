DROP TABLE event_state;
DROP TABLE event_summary;
CREATE TABLE event_count (
    camera_id      TEXT COLLATE "C" NOT NULL REFERENCES camera (id) ON DELETE CASCADE,
    detection_type TEXT    NOT NULL,
    hour_us        BIGINT NOT NULL,
    events         BIGINT NOT NULL,
    PRIMARY KEY (camera_id, detection_type, hour_us)
);
INSERT INTO event_count (camera_id, detection_type, hour_us, events)
SELECT camera_id, detection_type, hour_us, count(*)
FROM (
    SELECT camera_id, detection_type,
        -- Rounded down, also before 1970.
        started_us - ((started_us % 3600000000) + 3600000000) % 3600000000 AS hour_us
    FROM event
) AS e
GROUP BY camera_id, detection_type, hour_us;
