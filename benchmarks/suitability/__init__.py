"""Judges the suitability rules: how fast the gate is, and whether gate, definition and checker agree."""
