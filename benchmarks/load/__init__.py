"""Drives a server under load from several client processes, in a closed or an open loop."""
