-- The numbers of events by themselves, without the packed columns beside them: hundreds of hours are read at once.
CREATE INDEX event_summary_counts ON event_summary (span, camera_id, from_us, events);
