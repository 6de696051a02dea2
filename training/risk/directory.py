"""Writes a directory of risk models or borrowers, whole or not at all."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from training.dataset import check_target, put_in_place
from training.errors import OutputError


def write_directory(out: Path, write_files: Callable[[Path], None], *, force: bool) -> None:
    """Lets the files be written to a temporary sibling and renames it.

    Args:
        out: the directory to write.
        write_files: writes into the directory that it is given; source.json must be among the files.
        force: whether to replace `out`.

    Raises:
        OutputError: `out` exists and `force` is not set, or it cannot be written.
    """
    check_target(out, force=force)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        write_files(temporary)
        put_in_place(temporary, out)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"cannot write {out}: {error}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)
