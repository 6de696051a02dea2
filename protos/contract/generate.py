"""Generates the Python stubs beside the .proto files and the descriptor set that guards compatibility.

`python -m contract.generate` (or `make protos`) writes nothing when the change would break callers.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from contract.compatibility import find_breaks
from contract.errors import ContractBreakError, ContractCompileError, ContractError, DescriptorFileError

PROTO_ROOT = Path(__file__).resolve().parent.parent
DESCRIPTOR_PATH = PROTO_ROOT / "descriptor.binpb"
STUB_SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def main() -> int:
    """Regenerates stubs and descriptor set in place.

    Returns:
        Exit status: 0 when written, 1 when the contract was refused.
    """
    try:
        count = regenerate(PROTO_ROOT, DESCRIPTOR_PATH)
    except ContractError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"wrote {count} stubs and {DESCRIPTOR_PATH.name}\n")
    return 0


def regenerate(proto_root: Path, descriptor_path: Path) -> int:
    """Compiles the contract, refuses a breaking change, then replaces the stubs and the descriptor set.

    Args:
        proto_root: folder that holds the `prudence` package.
        descriptor_path: committed descriptor set; absent only before the first generation.

    Returns:
        Number of stub files written.

    Raises:
        ContractCompileError: protoc refused a file.
        ContractBreakError: the change would break callers.
        DescriptorFileError: the committed descriptor set cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        descriptor = compile_contract(proto_root, Path(folder))
        if descriptor_path.exists():
            breaks = find_breaks(read_descriptor(descriptor_path), descriptor)
            if breaks:
                raise ContractBreakError("the change would break callers:\n  " + "\n  ".join(breaks))
        stubs = list_stubs(Path(folder))
        for name in set(list_stubs(proto_root)) - set(stubs):
            (proto_root / name).unlink()
        for name in stubs:
            shutil.copyfile(Path(folder) / name, proto_root / name)
    descriptor_path.write_bytes(strip_source_info(descriptor).SerializeToString(deterministic=True))
    return len(stubs)


def compile_contract(proto_root: Path, out: Path) -> FileDescriptorSet:
    """Runs protoc over every .proto file of the package, with stubs written under `out`.

    Returns:
        The descriptor set of our own files, with comments.

    Raises:
        ContractCompileError: protoc refused a file; the message holds what it said.
    """
    sources = sorted(
        path.relative_to(proto_root).as_posix() for path in proto_root.glob("prudence/**/*.proto")
    )
    descriptor_path = out / "descriptor.binpb"
    plugin = Path(sys.executable).with_name("protoc-gen-mypy_grpc")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{proto_root}"]
    command += [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python", "mypy_grpc")]
    command += [f"--plugin=protoc-gen-mypy_grpc={plugin}"]
    command += [f"--descriptor_set_out={descriptor_path}", "--include_source_info", *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603
    if done.returncode != 0:
        raise ContractCompileError(f"protoc failed with status {done.returncode}:\n{done.stderr.strip()}")
    return read_descriptor(descriptor_path)


def read_descriptor(path: Path) -> FileDescriptorSet:
    """Reads a serialised descriptor set.

    Raises:
        DescriptorFileError: the file is missing or is not a descriptor set.
    """
    try:
        return FileDescriptorSet.FromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise DescriptorFileError(f"{path}: expected a serialised FileDescriptorSet: {error}") from error


def strip_source_info(descriptor: FileDescriptorSet) -> FileDescriptorSet:
    """Returns a copy without comments and positions, so that only the contract itself is compared."""
    stripped = FileDescriptorSet()
    stripped.CopyFrom(descriptor)
    for file in stripped.file:
        file.ClearField("source_code_info")
    return stripped


def list_stubs(root: Path) -> list[str]:
    """Returns the generated files under a folder, as sorted paths relative to it."""
    files = (path.relative_to(root).as_posix() for path in root.glob("prudence/**/*_pb2*"))
    return sorted(name for name in files if name.endswith(STUB_SUFFIXES))


if __name__ == "__main__":
    sys.exit(main())
