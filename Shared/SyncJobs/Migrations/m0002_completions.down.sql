DROP TABLE sync_completions;
