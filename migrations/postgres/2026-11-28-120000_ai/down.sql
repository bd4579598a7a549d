ALTER TABLE analysis_job DROP COLUMN lease_token;
DROP TABLE analysis_look;
ALTER TABLE analysis DROP COLUMN stored_ms;
ALTER TABLE analysis DROP COLUMN providers_ms;
ALTER TABLE analysis DROP COLUMN frames_ms;
ALTER TABLE analysis DROP COLUMN queued_ms;
DROP TABLE ai_budget_told;
DROP TABLE ai_call;
DROP TABLE ai_provider;
