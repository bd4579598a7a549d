DROP INDEX coverage_gap;
ALTER TABLE coverage DROP COLUMN is_gap;
DROP INDEX event_group;
