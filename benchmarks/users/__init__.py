"""Judges the stores of users: whether a crash loses what they acknowledged, and what a look-up costs."""
