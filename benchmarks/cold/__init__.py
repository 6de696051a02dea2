"""Measures how well products without events are found, and users with few events are served."""
