"""The tests' certificates: those of the fault tests."""

from benchmarks.faults.certificates import Authority, write_server_files

__all__ = ["Authority", "write_server_files"]
