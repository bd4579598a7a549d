-- Since when a camera is being deleted: nobody sees or uses it any more, and its events go some at a time. Null for all others.
ALTER TABLE camera ADD COLUMN removed_us BIGINT;
