-- Of a job that somebody asked for: its receipt, which is there from the asking on, and how it is to be done (JSON).
ALTER TABLE analysis_job ADD COLUMN analysis_id TEXT;
ALTER TABLE analysis_job ADD COLUMN wish TEXT;

-- US dollars by quarters of an hour, kept by the transactions that complete receipts. It outlives the receipts: what was
-- spent stays spent when an event is deleted. Every time zone in use is off by whole quarters.
CREATE TABLE ai_spent (
    quarter_us BIGINT           NOT NULL PRIMARY KEY,
    usd        DOUBLE PRECISION NOT NULL
);
