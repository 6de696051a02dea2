"""Breaks what a server asks its C library for, while it runs: its wall clock, writes and fsyncs."""

import errno
import mmap
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchmarkError

SOURCE: Final = Path(__file__).with_name("interposer.cpp")
COMPILERS: Final = ("c++", "g++", "clang++")
FLAGS: Final = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC")
FAIL_WRITE: Final = 1
FAIL_SYNC: Final = 2
_CONTROL: Final = struct.Struct("=qqq")  # Seconds that the wall clock is off, which calls fail, and how.


class Interposer:
    """A library that is loaded before a server's own, and the file that tells it what to break."""

    def __init__(self, folder: Path, failing: Path | None = None) -> None:
        """Compiles the library; nothing is broken yet.

        Args:
            folder: for the library and its file.
            failing: the folder whose files can be made to fail.

        Raises:
            BenchmarkError: there is no compiler, or it refuses the source.
        """
        self._library, control = folder / "interposer.so", folder / "control"
        control.write_bytes(_CONTROL.pack(0, 0, 0))
        self._named = (f"FAULTS_CONTROL={control}", f"FAULTS_FOLDER={failing or ''}")
        _compile(self._library)
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _CONTROL.size)

    @property
    def command(self) -> tuple[str, ...]:
        """What stands before the command of a server that is to be broken."""
        return "env", f"LD_PRELOAD={self._library}", *self._named

    def set_clock(self, offset_s: int) -> None:
        """Sets the server's wall clock off by so many seconds."""
        self._control[:8] = struct.pack("=q", offset_s)

    def fail(self, kinds: int, error: int = errno.EIO) -> None:
        """Lets calls fail: the sum of `FAIL_WRITE` and `FAIL_SYNC`, or 0 for none, with this error."""
        self._control[8:] = struct.pack("=qq", kinds, error)


def _compile(library: Path) -> None:
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise BenchmarkError(f"a C++17 compiler is needed: none of {', '.join(COMPILERS)} was found")
    command = [compiler, *FLAGS, "-o", str(library), str(SOURCE), "-ldl"]
    made = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if made.returncode:
        raise BenchmarkError(f"{SOURCE.name} cannot be compiled:\n{made.stderr}")
