"""Vector search beyond one index's memory: shards, searched side by side and merged."""
