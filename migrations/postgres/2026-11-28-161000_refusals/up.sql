-- The model, or a filter before it, does not describe these pictures: that will be no other the next time.
ALTER TABLE ai_call ADD COLUMN is_refusal BOOLEAN NOT NULL DEFAULT FALSE;

-- The queue is walked from its head in two orders, and what is young is looked for by itself.
DROP INDEX analysis_job_queue;
CREATE INDEX analysis_job_newest ON analysis_job (state, priority, created_us, event_id);
CREATE INDEX analysis_job_oldest ON analysis_job (state, priority DESC, created_us, event_id);
CREATE INDEX analysis_job_young ON analysis_job (state, created_us);

-- What the controller saw, JSON: it stays, whatever a describer makes of the pictures, and however often.
ALTER TABLE event ADD COLUMN detected TEXT NOT NULL DEFAULT '[]';
-- Of a description nobody can tell any more which objects it added: the detection's own is certain.
UPDATE event SET detected = CASE
    WHEN description_status <> 'described' THEN objects
    WHEN detection_type IN ('person', 'vehicle', 'package', 'animal') THEN '["' || detection_type || '"]'
    ELSE '[]' END
WHERE protect_event_id IS NOT NULL;
