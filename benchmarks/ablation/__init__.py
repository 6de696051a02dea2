"""Measures what each part of the two towers is worth."""
