"""The wire contract of Prudence."""
