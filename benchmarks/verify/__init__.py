"""Reads the suitability rules a second time, from their text alone, and checks answers against them."""
