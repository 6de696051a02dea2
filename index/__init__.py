"""The bundle: product vectors, index, catalogue, and proof that nothing changed."""
