DROP INDEX event_summary_counts;
