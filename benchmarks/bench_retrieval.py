"""Benchmarks retrieval: `python -m benchmarks.bench_retrieval` is `python -m benchmarks.retrieval`."""

import sys

from benchmarks.retrieval.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
