"""The benchmark of the live catalogue: what patches and updates of a large catalogue cost."""
