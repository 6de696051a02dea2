"""Breaks a running server on purpose, under load, and counts what its callers notice."""
