-- What was measured of an event, JSON: it outlives the job, so that a description that is made once more says as much as
-- the first. Apart from the event, of which every list reads whole rows.
CREATE TABLE event_facts (
    event_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES event (id) ON DELETE CASCADE,
    facts    TEXT NOT NULL
);
INSERT INTO event_facts (event_id, facts) SELECT event_id, facts FROM analysis_job WHERE facts IS NOT NULL;

-- The picture of the strongest moment, which is what an event looks like when one picture must do.
ALTER TABLE event_frame ADD COLUMN is_best BOOLEAN NOT NULL DEFAULT FALSE;
