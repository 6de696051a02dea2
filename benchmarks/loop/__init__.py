"""The loop test: simulated users respond to the running server, the model learns from it, and is judged."""
