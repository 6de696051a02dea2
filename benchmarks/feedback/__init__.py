"""Measures the feedback log: events per second, time from event to changed answer, what survives kills."""
