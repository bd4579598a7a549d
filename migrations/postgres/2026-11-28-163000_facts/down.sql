ALTER TABLE event_frame DROP COLUMN is_best;
DROP TABLE event_facts;
