"""Overload: how many calls may be under way, which are refused first, and what is not worth beginning."""
