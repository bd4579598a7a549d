DROP TABLE ai_spent;
ALTER TABLE analysis_job DROP COLUMN wish;
ALTER TABLE analysis_job DROP COLUMN analysis_id;
