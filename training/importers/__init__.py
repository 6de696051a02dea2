"""Readers of published data sets, each giving the documented input tables."""
