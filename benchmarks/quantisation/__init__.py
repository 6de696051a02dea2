"""The benchmark of quantisation: what towers and vectors in fewer bits save, and what they cost."""
