"""The benchmark of segments: who is in them, what stands in for a model, and what association rules give."""
