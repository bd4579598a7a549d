ALTER TABLE journal DROP COLUMN notice;
DROP TABLE media_trash;
DROP TABLE media_usage;
DROP INDEX event_media;
ALTER TABLE event DROP COLUMN media_bytes;
ALTER TABLE event DROP COLUMN thumb_bytes;
