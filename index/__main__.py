"""Command line: `python -m index build | update | sign | publish | inspect | verify`.

Exit code 0 is well, 1 a refusal, 2 bad usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from index.ann import INDEX_KINDS
from index.build import BUILD_STEPS, build_bundle
from index.bundle import find_changed_files, open_bundle, read_current, verify_bundle
from index.errors import IndexPackageError
from index.files import CURRENT
from index.manifest import SIGNATURES, Manifest
from index.publish import publish_bundle
from index.signing import sign_bundle
from index.tiers import SELECTED_SHARES
from index.update import UPDATE_STEPS, update_bundle
from suitability.errors import SuitabilityError
from suitability.signatures import KeyRing, load_keys

KEYS_HELP = "public keys of publishers, one of whom must have signed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    options = _parser().parse_args(arguments)
    out, problems = Console(highlight=False), Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        if options.command == "verify":
            return _verify(options, out, problems)
        if options.command == "publish":
            return _publish(options, out, problems)
        run = {"build": _build, "update": _update, "sign": _sign, "inspect": _inspect}
        return run[options.command](options, out)
    except (IndexPackageError, SuitabilityError) as error:
        problems.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 1


def _build(options: argparse.Namespace, out: Console) -> int:
    with _steps("build", BUILD_STEPS, out) as on_step:
        bundle = build_bundle(
            export=options.export,
            products=options.products,
            policy=options.policy,
            bundles=options.out,
            kind=options.index,
            version=options.version,
            stated_time=options.stated_time,
            risk_model=options.risk_model,
            on_step=on_step,
        )
    out.print(f"sealed {bundle.path}", markup=False, soft_wrap=True)
    if bundle.risk is not None:
        count = len(bundle.risk.golden)
        out.print(f"risk model {bundle.risk.version}: {count:,} golden borrowers on and beside thresholds")
    _print_manifest(bundle.manifest, out)
    return 0


def _update(options: argparse.Namespace, out: Console) -> int:
    with _steps("update", UPDATE_STEPS, out) as on_step:
        bundle, report = update_bundle(
            parent=_bundle_path(options.bundle),
            products=options.products,
            removed=options.remove,
            bundles=options.out,
            kind=options.index,
            version=options.version,
            stated_time=options.stated_time,
            on_step=on_step,
        )
    if options.report is not None:
        options.report.write_text(report.to_json() + "\n", encoding="utf-8")
    for problem in report.problems:
        out.print(
            f"set aside: row {problem.row}, {problem.product_id!r}: {problem.field} is {problem.problem}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    counts = ", ".join(f"{name.removesuffix('_count')} {count}" for name, count in report.counts().items())
    out.print(f"sealed {bundle.path}: {counts}", markup=False, soft_wrap=True)
    _print_manifest(bundle.manifest, out)
    return 0


@contextmanager
def _steps(command: str, names: Sequence[str], out: Console) -> Iterator[Callable[[str], None]]:
    """Shows how far a command is: a bar on a terminal, else a line for each step."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task(command, total=len(names))

        def on_step(step: str) -> None:
            progress.update(task, description=f"{command}: {step}", completed=names.index(step))
            if not out.is_terminal:
                out.print(f"{command}: {step}")

        yield on_step


def _sign(options: argparse.Namespace, out: Console) -> int:
    path = _bundle_path(options.bundle)
    verify_bundle(path)
    sign_bundle(path, options.key, options.key_id)
    out.print(f"{path.name}: signed by {options.key_id}", markup=False, soft_wrap=True)
    return 0


def _publish(options: argparse.Namespace, out: Console, problems: Console) -> int:
    bundle = publish_bundle(
        _bundle_path(options.bundle), options.bundles, over=options.over, keys=_read_keys(options)
    )
    if options.keys is None:
        signed = (bundle.path / SIGNATURES).is_file()
        found = "signed, but nobody asked by whom" if signed else "not signed"
        problems.print(
            f"warning: {bundle.path.name} is {found}: a server with --bundle-keys "
            f"{'may' if signed else 'will'} refuse it; with --keys it is refused before CURRENT changes",
            style="yellow",
            markup=False,
        )
    out.print(f"{CURRENT} of {options.bundles} names {bundle.path.name}", markup=False, soft_wrap=True)
    return 0


def _inspect(options: argparse.Namespace, out: Console) -> int:
    manifest = verify_bundle(_bundle_path(options.bundle))
    _print_manifest(manifest, out)
    files = Table("file", "bytes", "SHA-256", box=None)
    for name, entry in sorted(manifest.files.items()):
        files.add_row(name, f"{entry.size:,}", entry.sha256[:16])
    out.print(files)
    return 0


def _verify(options: argparse.Namespace, out: Console, problems: Console) -> int:
    path = _bundle_path(options.bundle)
    changed = find_changed_files(path)
    for error in changed:
        problems.print(f"{type(error).__name__}: {error}", style="red", markup=False)
    if changed:
        return 1
    bundle = open_bundle(path, _read_keys(options))
    signed = f", signed by {', '.join(bundle.signers)}" if bundle.signers else ""
    out.print(
        f"{path.name}: all {len(bundle.manifest.files)} files match the manifest{signed}",
        markup=False,
        soft_wrap=True,
    )
    return 0


def _read_keys(options: argparse.Namespace) -> KeyRing | None:
    return None if options.keys is None else load_keys(options.keys)


def _bundle_path(path: Path) -> Path:
    """Returns a bundle: the path itself, or the one that its CURRENT names."""
    return read_current(path) if (path / CURRENT).exists() else path


def _print_manifest(manifest: Manifest, out: Console) -> None:
    out.print(_summary(manifest))
    parts = Table("index", "rows", "lists", "effort", "for ranges", "for masks", "bytes", box=None)
    for part in manifest.index:
        rows = f"[{part.row_start}, {part.row_stop})"
        tables = [" ".join(map(str, efforts)) for efforts in (part.range_efforts, part.mask_efforts)]
        parts.add_row(part.kind, rows, str(part.list_count), str(part.effort), *tables, f"{part.size:,}")
    parts.caption = "efforts where " + " ".join(f"{share:.0%}" for share in SELECTED_SHARES) + " are left"
    parts.caption_justify = "left"
    out.print(parts, markup=False)
    recall = Table("domain", "rows", "of them", f"recall@{manifest.recall.get('k')}", box=None)
    for found in manifest.recall.get("ranges", ()):
        rows = f"[{found['row_start']}, {found['row_stop']})"
        recall.add_row(found["domain"], rows, f"{found['share']:.0%}", f"{found['recall']:.4f}")
    out.print(recall)


def _summary(manifest: Manifest) -> Table:
    assumed = manifest.source.get("assumed") or {}
    rows = {
        "bundle_version": manifest.bundle_version,
        "created": f"{manifest.create_time} from commit {manifest.source_commit[:12]}",
        "source": f"{manifest.source.get('name')}, simulated: {manifest.source.get('simulated')}",
        "attribution": manifest.source.get("attribution") or "-",
        "assumed values": sum(count for table in assumed.values() for count in table.values()),
        "model": f"{manifest.model}, embedding_dim {manifest.embedding_dim}, opset {manifest.opset}",
        "products": f"{manifest.product_count} ({manifest.learning_count} learning)",
        "score_scale": f"{manifest.score_scale:.6g}",
        "policy_hash": manifest.policy_hash[:16],
    }
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m index", description="Builds and proves bundles.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build, seal and make current")
    build.add_argument("--export", type=Path, required=True, help="directory that python -m export wrote")
    build.add_argument("--products", type=Path, required=True, help="clean catalogue, Parquet")
    build.add_argument("--policy", type=Path, required=True, help="policy under which rows are ordered")
    build.add_argument("--out", type=Path, required=True, help="directory of all bundles")
    build.add_argument(
        "--risk-model", type=Path, help="directory that python -m export risk wrote; its scorecard is served"
    )
    update = commands.add_parser("update", help="embed new and changed products into a new bundle")
    update.add_argument("bundle", type=Path, help=f"a bundle, or a directory with {CURRENT}")
    update.add_argument("--products", type=Path, help="new and changed products, whole rows, Parquet")
    update.add_argument("--remove", type=Path, help="ids of products to take out, one on a line")
    update.add_argument("--out", type=Path, required=True, help="directory of all bundles")
    update.add_argument("--report", type=Path, help="write counts and the rows set aside here, JSON")
    for command in (build, update):
        command.add_argument(
            "--index",
            choices=INDEX_KINDS,
            default="auto",
            help="FAISS index to build; nested has one part for each risk limit",
        )
        command.add_argument("--version", help="bundle_version; by default time and content hash")
        command.add_argument(
            "--stated-time",
            type=_instant,
            help="instant as of which the products file says what it says, RFC 3339; a server drops patches "
            "that came before it",
        )
    signer = commands.add_parser("sign", help="prove a bundle and add a publisher's signature")
    signer.add_argument("bundle", type=Path, help=f"a bundle, or a directory with {CURRENT}")
    signer.add_argument("--key", type=Path, required=True, help="your private key, PEM, mode 600")
    signer.add_argument("--key-id", required=True, help="its id in the file of public keys")
    publish = commands.add_parser("publish", help="prove a bundle, copy it and make it current")
    publish.add_argument("bundle", type=Path, help=f"a bundle, or a directory with {CURRENT}")
    publish.add_argument("--to", dest="bundles", type=Path, required=True, help="directory that serves")
    publish.add_argument("--keys", type=Path, help=KEYS_HELP)
    publish.add_argument("--over", help="bundle_version that must be current until then")
    for name, text in (("inspect", "print what a bundle holds"), ("verify", "prove every byte")):
        command = commands.add_parser(name, help=text)
        command.add_argument("bundle", type=Path, help=f"a bundle, or a directory with {CURRENT}")
        if name == "verify":
            command.add_argument("--keys", type=Path, help=KEYS_HELP)
    return parser


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.utcoffset() is None:
        raise argparse.ArgumentTypeError(f"expected an instant with a zone, got {text!r}")
    return instant


if __name__ == "__main__":
    sys.exit(main())
