"""Errors of the benchmarks.

BenchmarkError
├── BenchmarkInputError     a file or setting the caller gave is missing or wrong
│   └── EmptyTestError      an evaluation has nobody to test
├── ScoreValueError         a scorer gave something that is no number
├── StageFailedError        a stage of the pipeline (a command of ours) ended with an error
├── ServerStartError        the server under test did not become ready, or ended
├── LoadClientError         a client process of the load driver failed
└── EventRefusedError       the server did not accept an event of a user whom it knows
"""


class BenchmarkError(Exception):
    """Anything that stops a benchmark or the demonstration."""


class BenchmarkInputError(BenchmarkError):
    """A file or setting given by the caller is missing or wrong."""


class EmptyTestError(BenchmarkInputError):
    """An evaluation has nobody to test."""


class ScoreValueError(BenchmarkError):
    """A scorer gave a score that is NaN or infinite."""


class StageFailedError(BenchmarkError):
    """A stage of the pipeline ended with an error; the message holds the end of its log."""


class ServerStartError(BenchmarkError):
    """The server under test ended, or was not ready within the time allowed."""


class LoadClientError(BenchmarkError):
    """A client process of the load driver failed or did not report."""


class EventRefusedError(BenchmarkError):
    """The server did not accept an event of a user whom it knows."""
