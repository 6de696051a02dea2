"""Protocols that judge a bundle or a running server."""
