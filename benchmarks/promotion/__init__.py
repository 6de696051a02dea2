"""Judges whether a sealed bundle may take the place of the one that serves."""
