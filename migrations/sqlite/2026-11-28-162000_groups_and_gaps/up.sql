-- The members of a group of events, when one joins another.
CREATE INDEX event_group ON event (correlation_group_id) WHERE correlation_group_id IS NOT NULL;

-- Whether what happened at a controller's camera meanwhile may have been missed for good.
ALTER TABLE coverage ADD COLUMN is_gap INTEGER NOT NULL DEFAULT 0;
CREATE INDEX coverage_gap ON coverage (camera_id, from_us) WHERE is_gap;
