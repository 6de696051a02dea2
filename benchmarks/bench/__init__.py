"""The benchmark of a running server: speed, and recall beside it."""
