"""Experiments: which users get which variant, and the bundles and settings that variants compare."""
