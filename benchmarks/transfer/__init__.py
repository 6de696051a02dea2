"""Measures what two domains learn from each other."""
