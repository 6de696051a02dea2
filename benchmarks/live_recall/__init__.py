"""Shows what the live recall monitor of a server says of a sound index and of one that was spoilt."""
