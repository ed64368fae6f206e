"""What a run keeps: its folder, checkpoints, metrics.jsonl and run.json, and the lines that it logs."""
