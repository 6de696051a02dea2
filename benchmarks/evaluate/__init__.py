"""Judges models, sealed bundles and baselines by stated protocols."""
