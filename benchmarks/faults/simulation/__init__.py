"""Plays the server's decisions through schedules drawn from a seed: batcher, admission and bundle manager."""
