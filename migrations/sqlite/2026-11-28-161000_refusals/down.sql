ALTER TABLE event DROP COLUMN detected;
DROP INDEX analysis_job_young;
DROP INDEX analysis_job_oldest;
DROP INDEX analysis_job_newest;
CREATE INDEX analysis_job_queue ON analysis_job (state, priority, created_us);
ALTER TABLE ai_call DROP COLUMN is_refusal;
