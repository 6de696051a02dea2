"""A second reading of the rules for the tests: the one that also verifies answers under load."""

from benchmarks.verify.judge import judge, tighten, valid_until, warn

__all__ = ["judge", "tighten", "valid_until", "warn"]
