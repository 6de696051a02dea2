"""Draws the dashboard as it looks over a server under load: real metrics, read by a real Prometheus."""
