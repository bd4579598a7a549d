-- What was counted before, in a form that answers less.
DROP TABLE event_count;

-- Sums of the events of a stretch of time, of one camera or of all, kept by the transactions that change events. The
-- packed columns are written and read by argus-db alone (docs/adr/0005-counts.md).
CREATE TABLE event_summary (
    -- 0 all time, 1 a day, 2 an hour, 3 a quarter of an hour; all of UTC.
    span      INTEGER NOT NULL,
    -- Empty: all cameras together.
    camera_id TEXT COLLATE "C" NOT NULL,
    from_us   BIGINT NOT NULL,
    events    BIGINT NOT NULL,
    -- Number of events by their kinds.
    cells     BYTEA NOT NULL,
    -- Sums of their numbers, in the same order. Last, so that the counts can be read without it.
    sums      BYTEA NOT NULL,
    PRIMARY KEY (span, camera_id, from_us)
);

-- One row: how often events changed, which tells whether something that was counted before still holds, and whether the
-- summary holds all events. After this step it does not: the next start of the program counts them.
CREATE TABLE event_state (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    changes    BIGINT NOT NULL,
    summarised BOOLEAN NOT NULL
);
INSERT INTO event_state (id, changes, summarised) VALUES (1, 0, FALSE);
