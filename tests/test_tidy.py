"""House style as failing tests.

Limits are a ratchet: tidy_exceptions.json records what is over a limit today. A recorded number must be the
true one, so it shrinks with the code, and the number of records may not grow.
"""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS_PATH = ROOT / "tests" / "tidy_exceptions.json"
PACKAGES = ("suitability", "training", "export", "index", "server", "benchmarks", "protos")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
# The number of recorded exceptions may shrink, never grow: lower these when one is resolved.
EXCEPTION_COUNT_MAX = {"modules": 0, "functions": 0}
FORBIDDEN_NAMES = {"utils.py", "common.py", "base.py", "helpers.py", "misc.py"}
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")

# Banned import or call -> what to use instead.
BANNED = {
    "pickle": "safetensors, .npy without pickle, JSON or Parquet",
    "cPickle": "safetensors, .npy without pickle, JSON or Parquet",
    "marshal": "safetensors, .npy without pickle, JSON or Parquet",
    "shelve": "SQLite or Parquet",
    "joblib": "safetensors, .npy without pickle, JSON or Parquet",
    "print": "a rich Console in a command line, structlog elsewhere",
    "eval": "ast.literal_eval or a parser",
    "exec": "a function",
    "torch.load": "safetensors",
    "time.time": "time.perf_counter or time.monotonic for timing, datetime.now(UTC) for instants",
    "os.environ": "a setting in server/config.py",
    "os.getenv": "a setting in server/config.py",
    "logging.basicConfig": "structlog, configured in __main__",
}
# Where a banned call is the right one, with the reason.
BANNED_ALLOWED = {
    ("server/config.py", "os.environ"): "the one reader of the environment",
}
# Absolute paths of one machine, and package registries: a clone must work anywhere.
MACHINE_PATTERN = re.compile(
    r"(?<![\w.~/-])/(?:home|root|work|farm|opt|Users|mnt|srv)/[\w.-]+"
    r"|https?://[\w.-]*(?:pypi|pythonhosted|npmjs|conda\.anaconda|download\.pytorch)[\w.-]*"
    r"|--(?:extra-)?index-url|--find-links",
    re.IGNORECASE,
)
BINARY_SUFFIXES = {".png", ".binpb", ".parquet", ".npy", ".npz", ".onnx", ".faiss", ".safetensors", ".gz"}


def list_files(*folders: str) -> list[Path]:
    """Lists what git tracks or would track, so that a new file is checked before it is committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=180)
    return sorted({ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()})


def list_modules() -> list[Path]:
    return [
        path for path in list_files(*PACKAGES) if path.suffix == ".py" and not GENERATED.search(path.name)
    ]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=name_of(path))


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yields every function's dotted name and its length in lines, from `def` to its last line."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    yield name, (child.end_lineno or child.lineno) - child.lineno + 1
                yield from walk(child, f"{name}.")
            else:
                yield from walk(child, prefix)

    yield from walk(parse(path), "")


def read_exceptions(kind: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(EXCEPTIONS_PATH.read_text(encoding="utf-8"))[kind]
    return found


def find_over_limit() -> dict[str, dict[str, int]]:
    paths = [*list_modules(), *(path for path in list_files("tests") if path.suffix == ".py")]
    modules = {name_of(path): count_lines(path) for path in paths}
    functions = {f"{name_of(path)}::{name}": lines for path in paths for name, lines in functions_of(path)}
    return {
        "modules": {name: lines for name, lines in modules.items() if lines > MODULE_LINES_MAX},
        "functions": {name: lines for name, lines in functions.items() if lines > FUNCTION_LINES_MAX},
    }


@pytest.mark.parametrize("kind", ["modules", "functions"])
def test_nothing_is_longer_than_its_limit(kind: str) -> None:
    assert find_over_limit()[kind] == read_exceptions(kind), "split it; or lower the record if it shrank"


@pytest.mark.parametrize("kind", ["modules", "functions"])
def test_recorded_exceptions_do_not_grow_in_number(kind: str) -> None:
    assert len(read_exceptions(kind)) <= EXCEPTION_COUNT_MAX[kind]


def test_native_sources_keep_to_the_module_limit() -> None:
    long = {
        name_of(path): count_lines(path)
        for path in list_files("server/kernel")
        if path.suffix in {".hpp", ".cpp", ".h"} and count_lines(path) > MODULE_LINES_MAX
    }
    assert long == {}


def test_every_module_has_a_docstring() -> None:
    paths = [*list_modules(), *(path for path in list_files("tests") if path.suffix == ".py")]
    assert [name_of(path) for path in paths if not ast.get_docstring(parse(path))] == []


def test_no_module_is_a_drawer() -> None:
    assert [name_of(path) for path in list_modules() if path.name in FORBIDDEN_NAMES] == []


def test_test_folders_are_not_packages_and_test_names_are_unique() -> None:
    files = [path for path in list_files("tests") if path.suffix == ".py"]
    names = [path.name for path in files if path.name.startswith("test_")]
    assert [name_of(path) for path in files if path.name == "__init__.py"] == []
    assert sorted({name for name in names if names.count(name) > 1}) == []


def banned_uses(path: Path) -> Iterator[tuple[str, int]]:
    """Yields each banned name used in a module and its line: imports, attributes and bare calls."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in BANNED:
                    yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [module.partition(".")[0], *(f"{module}.{alias.name}" for alias in node.names)]
            yield from ((name, node.lineno) for name in names if name in BANNED)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in BANNED:
            yield ast.unparse(node), node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED:
            yield node.func.id, node.lineno


def test_banned_calls_are_not_used() -> None:
    faults = [
        f"{name_of(path)}:{line}: {name}; use {BANNED[name]}"
        for path in list_modules()
        for name, line in banned_uses(path)
        if (name_of(path), name) not in BANNED_ALLOWED
    ]
    assert faults == []


def test_allowed_uses_of_banned_calls_still_exist() -> None:
    used = {(name_of(path), name) for path in list_modules() for name, _ in banned_uses(path)}
    assert set(BANNED_ALLOWED) <= used


def swallows(handler: ast.ExceptHandler) -> bool:
    names = {ast.unparse(handler.type)} if handler.type is not None else {""}
    quiet = all(isinstance(node, ast.Pass) or ast.unparse(node) == "..." for node in handler.body)
    return handler.type is None or (quiet and bool(names & {"Exception", "BaseException"}))


def test_no_error_is_swallowed() -> None:
    faults = [
        f"{name_of(path)}:{node.lineno}"
        for path in list_modules()
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ]
    assert faults == []


def test_no_test_is_skipped() -> None:
    pattern = re.compile(r"pytest\.(mark\.(skip|skipif|xfail)|skip\(|importorskip|xfail\()")
    own = Path(__file__)
    faults = [
        f"{name_of(path)}:{number}"
        for path in list_files("tests")
        if path.suffix == ".py" and path != own
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert faults == []


def test_a_todo_names_its_issue() -> None:
    own = Path(__file__)
    faults = [
        f"{name_of(path)}:{number}"
        for path in list_files(*PACKAGES, "tests")
        if path.suffix in {".py", ".hpp", ".cpp", ".proto"} and path != own
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"\b(FIXME|XXX|HACK)\b|\bTODO\b(?! \(#\d+\))", line)
    ]
    assert faults == []


def test_no_file_names_one_machine_or_a_registry() -> None:
    own = Path(__file__)
    faults = []
    for path in list_files():
        # The list of parts repeats where their makers say that they are found.
        if path.suffix in BINARY_SUFFIXES or path == own or path.name == "sbom.json":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found = MACHINE_PATTERN.search(line)
            if found:
                faults.append(f"{name_of(path)}:{number}: {found.group()}")
    assert faults == []


def tree_of_architecture() -> set[str]:
    """Reads the fenced tree under "## The tree": two spaces a level, name first, folders end in a slash."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.partition("\n## The tree\n")[2]
    block = re.search(r"```\w*\n(.*?)```", section, re.DOTALL)
    assert block is not None, 'ARCHITECTURE.md has no fenced tree under "## The tree"'
    paths: set[str] = set()
    folders: list[str] = []
    for line in block.group(1).splitlines():
        if line.strip():
            depth = (len(line) - len(line.lstrip(" "))) // 2
            name = line.split()[0]
            folders = folders[:depth]
            if name.endswith("/"):
                folders.append(name)
            paths.add("".join(folders) + ("" if name.endswith("/") else name))
    return paths


def test_the_architecture_tree_names_every_module() -> None:
    listed = tree_of_architecture()
    missing = [
        name_of(path) for path in list_modules() if path.name != "__init__.py" and name_of(path) not in listed
    ]
    assert missing == []


def test_the_architecture_tree_names_nothing_that_is_gone() -> None:
    assert sorted(path for path in tree_of_architecture() if not (ROOT / path).exists()) == []


def read_project(name: str) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / name).read_text(encoding="utf-8"))["project"]
    return project


def test_versions_agree_with_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.search(r"^## (\d+\.\d+\.\d+)$", changelog, re.MULTILINE)
    assert latest is not None, "CHANGELOG.md has no version heading"
    version = latest.group(1)
    application, client = read_project("pyproject.toml"), read_project("protos/pyproject.toml")
    assert (application["version"], client["version"]) == (version, version)
    assert f"prudence-client=={version}" in application["dependencies"]


def test_the_latest_changelog_entry_has_its_sections() -> None:
    entry = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1]
    assert re.findall(r"^### (.+)$", entry, re.MULTILINE) == ["Safety", "Features", "Internals"]


def test_every_requirement_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    application = read_project("pyproject.toml")
    lists = [application["dependencies"], *application["optional-dependencies"].values()]
    lists.append(read_project("protos/pyproject.toml")["dependencies"])
    named = {re.split(r"[^\w-]", requirement)[0].lower() for each in lists for requirement in each}
    assert sorted(named - pins - {"prudence-client"}) == []
