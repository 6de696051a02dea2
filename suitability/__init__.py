"""The rules: who may be shown what."""
