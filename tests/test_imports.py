"""Who may import what: the parts of ARCHITECTURE.md's table that import-linter cannot see."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("suitability", "training", "export", "index", "server")
NUMPY_ONLY = (
    "index/feature_json.py",
    "index/features.py",
    "index/fields.py",
    "index/item_embedding.py",
    "index/reference.py",
    "index/risk_bins.py",
    "index/risk_json.py",
    "index/risk_model.py",
    "index/segments.py",
    "index/texts.py",
    "index/unique_keys.py",
)
NUMPY_ONLY_ALLOWED = {
    *("numpy", "suitability", "index.errors", "index.fields", "index.texts", "index.unique_keys"),
    *("index.feature_json", "index.item_embedding", "index.reference"),
    # What parses a bundle's JSON needs the standard library only.
    *("index.manifest", "index.risk_bins", "index.risk_model"),
}
# A heavy library's doors: the only modules of ours that import it.
DOORS = {
    "cryptography": {"suitability/signatures.py", "server/identity/certificates.py"},
    "google_crc32c": {"server/feedback/blocks.py"},
    "faiss": {"index/ann.py", "index/ann_format.py", "index/ann_gpu.py"},
    "opentelemetry": {"server/tracing.py"},
    "server._kernel": {"server/native.py"},
}
# The parts of suitability around the rules: they show, sign and simulate.
SUITABILITY_TOOLS = ("suitability/__main__.py", "suitability/signatures.py", "suitability/tools/")
# Libraries whose import name is not the name they are installed by.
INSTALLED_AS = {
    "faiss": "faiss-cpu",
    "google": "protobuf",
    "google_crc32c": "google-crc32c",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "grpc_status": "grpcio-status",
    "opentelemetry": "opentelemetry-sdk",
    "prometheus_client": "prometheus-client",
    "pydantic_settings": "pydantic-settings",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
OWNERS = {
    "torch": {"training", "export"},
    "onnx": {"export"},
    "onnxruntime": {"export", "server"},
    "grpc": {"server"},
    "sklearn": {"training"},
}
# What a process that imports every module of the package must not have loaded.
NEVER_LOADED = {
    "suitability": (
        "torch",
        "onnx",
        "onnxruntime",
        "faiss",
        "grpc",
        "pydantic",
        "google.protobuf",
        "server",
    ),
    "training": ("faiss", "onnxruntime", "grpc", "prudence"),
    "export": ("faiss", "grpc", "prudence"),
    "index": ("torch", "onnx", "onnxruntime", "sklearn", "grpc", "prudence"),
    "server": ("torch", "onnx", "onnxscript", "sklearn", "training", "export"),
    "prudence": ("numpy", "torch", "onnx", "onnxruntime", "faiss", "pyarrow", "pydantic"),
}
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
names = [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(",".join(sorted(set(sys.argv[2:]) & set(sys.modules))))
"""


def modules_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    """Yields every absolute name a module imports, also inside functions: `from a import b` is a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_library(path: Path, library: str) -> bool:
    return any(name == library or name.startswith(f"{library}.") for name in imports_of(path))


def test_no_module_uses_relative_imports() -> None:
    relative = [
        path.relative_to(ROOT).as_posix()
        for package in (*PACKAGES, "benchmarks", "protos/prudence", "protos/contract")
        for path in modules_of(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


@pytest.mark.parametrize("module", NUMPY_ONLY)
def test_what_training_and_serving_share_needs_numpy_only(module: str) -> None:
    allowed = NUMPY_ONLY_ALLOWED | sys.stdlib_module_names
    strange = [
        name
        for name in imports_of(ROOT / module)
        if not any(name == each or name.startswith(f"{each}.") for each in allowed) and name != "index"
    ]
    assert strange == []


def rules_of_suitability() -> list[Path]:
    return [
        path
        for path in modules_of("suitability")
        if not path.relative_to(ROOT).as_posix().startswith(SUITABILITY_TOOLS)
    ]


def test_the_rules_need_the_standard_library_and_numpy_only() -> None:
    allowed = sys.stdlib_module_names | {"numpy", "suitability"}
    strange = {
        f"{path.name}: {name}"
        for path in rules_of_suitability()
        for name in imports_of(path)
        if name.partition(".")[0] not in allowed
    }
    assert strange == set()


def test_the_rules_know_neither_signatures_nor_tools() -> None:
    users = {
        path.name
        for path in rules_of_suitability()
        for library in ("suitability.signatures", "suitability.tools", "suitability.__main__")
        if imports_library(path, library)
    }
    assert users == set()


def test_importing_suitability_loads_no_library_of_its_tools() -> None:
    script = "import sys, suitability; print(','.join(sorted(set(sys.argv[1:]) & set(sys.modules))))"
    libraries = ("cryptography", "rich", "pyarrow", "matplotlib")
    done = subprocess.run(
        [sys.executable, "-c", script, *libraries],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_heavy_library_has_one_door(library: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in modules_of(package)
        if imports_library(path, library)
    }
    assert users <= DOORS[library]


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_a_heavy_library_has_its_owners(library: str) -> None:
    users = {
        package for package in PACKAGES for path in modules_of(package) if imports_library(path, library)
    }
    assert users <= OWNERS[library]


def test_onnxruntime_enters_the_server_through_the_encoder() -> None:
    users = {path.name for path in modules_of("server") if imports_library(path, "onnxruntime")}
    assert users <= {"encoder.py"}


def test_every_imported_library_is_required() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    required = {re.split(r"[^\w-]", requirement)[0] for each in lists for requirement in each}
    ours = {*PACKAGES, "benchmarks", "prudence", "contract", "tests"}
    imported = {
        name.partition(".")[0]
        for package in (*PACKAGES, "benchmarks", "protos", "tests")
        for path in modules_of(package)
        for name in imports_of(path)
    }
    libraries = {INSTALLED_AS.get(name, name) for name in imported - sys.stdlib_module_names - ours}
    assert sorted(libraries - required) == []


def test_the_makefile_installs_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = re.findall(r"^ *EXTRAS := (.+)$", makefile, re.MULTILINE)
    named = {extra for line in lines for extra in line.split(",")}
    assert named, "the Makefile names no extras"
    assert named <= set(project["optional-dependencies"])


@pytest.mark.parametrize("package", sorted(NEVER_LOADED))
def test_a_fresh_process_loads_nothing_forbidden(package: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            IMPORT_ALL,
            package,
            *NEVER_LOADED[package],
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks", "protos/prudence"])
def test_package_files_hold_a_docstring_and_nothing_else(package: str) -> None:
    busy = []
    for path in sorted((ROOT / package).rglob("__init__.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        # suitability's own re-exports its entry points; nothing else may.
        if path == ROOT / "suitability" / "__init__.py":
            body = [
                node
                for node in body
                if not isinstance(node, ast.ImportFrom)
                and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
            ]
        if len(body) != 1 or not isinstance(body[0], ast.Expr):
            busy.append(path.relative_to(ROOT).as_posix())
    assert busy == []
