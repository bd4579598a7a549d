-- A camera whose deletion was not finished is there again, not enabled, with the events that are left.
ALTER TABLE camera DROP COLUMN removed_us;
