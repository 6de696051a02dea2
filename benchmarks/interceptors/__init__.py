"""Measures what the door of every method costs: identity, admission, metrics and the access log."""
