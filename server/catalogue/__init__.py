"""The live catalogue: what a server is told of products after their bundle was built."""
