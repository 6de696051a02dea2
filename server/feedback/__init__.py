"""The feedback log: what users did and what they were shown, durable before it is acknowledged."""
