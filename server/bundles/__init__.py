"""Bundles live: which one serves, and how another takes its place while the server answers."""
