"""Reports on experiments and campaigns from the feedback log: what differed, and whether it may be chance."""
