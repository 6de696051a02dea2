"""Everything that one answer is made with, opened together and never changed: bundle, policy and stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from index import ann, reference
from index.ann_index import AnnIndex
from index.bundle import Bundle, open_bundle, read_current
from index.errors import AnnDeviceError, IndexPackageError
from index.golden import VECTOR_TOLERANCE, GoldenRequest
from index.manifest import require_version_name
from server import native
from server.catalogue.patches import Fields, tighten
from server.catalogue.state import Patches
from server.encoder import Encoder
from server.errors import AssumedDataError, DeviceError, SettingsError, SnapshotError
from server.facts import Facts
from server.filter import Filter
from server.gate import Gate
from server.open_retriever import Mode, open_retriever
from server.pace import Rest, never_rest
from server.retrieval import Retriever
from server.risk_scoring import RiskScorer
from server.scoring import Scorer
from suitability.errors import PolicyError, SigningKeyError
from suitability.policy import Policy, default_policy_path, load_policy
from suitability.policy_lint import lint
from suitability.signatures import KeyRing, load_keys

CURRENT: Final = 0
"""The place of the bundle that answers whoever is in no experiment."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One bundle under one policy, ready to answer.

    The gate holds the products as patches left them; whatever only proposes rows holds the bundle's, which
    are no stricter. `place` is its position among everything that is served under that policy.
    """

    bundle: Bundle
    policy: Policy
    encoder: Encoder
    retriever: Retriever
    index_kind: str
    kernel: str
    scorer: Scorer
    gate: Gate
    filter: Filter
    row_of: Mapping[str, int]
    facts: Facts
    assumed_data: bool
    place: int = CURRENT
    catalogue_sequence: int = 0  # How many changes of the live catalogue it has seen.
    risk: RiskScorer | None = None

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.bundle.manifest.bundle_version


def open_snapshot(
    bundles: Path,
    policy: Policy,
    *,
    device: Literal["cpu", "cuda"],
    thread_count: int,
    retriever: Mode,
    allow_assumed: bool,
    kernel: str = native.AUTO,
    version: str | None = None,
    keys: KeyRing | None = None,
    rest: Rest = never_rest,
) -> Snapshot:
    """Opens a bundle under a policy.

    Args:
        bundles: folder of bundles.
        policy: the policy in force.
        device: where tower and index run.
        thread_count: threads of each.
        retriever: how rows are searched; "auto" measures what is cheapest.
        allow_assumed: whether a catalogue with assumed values may be served.
        kernel: instructions that the scan uses; "auto" takes the fastest there are.
        version: of the bundle; None for the one that CURRENT names.
        keys: public keys of publishers, one of whom must have signed the bundle; None to ask for nothing.
        rest: called between pieces of the work.

    Raises:
        SettingsError: this machine lacks the instructions asked for.
        SnapshotError: the bundle fails verification; the message names the file.
        DeviceError: the device did not load.
        AssumedDataError: the catalogue holds assumed values, and that is not allowed.
    """
    path = _find_path(kernel)
    bundle, index = _open_bundle(bundles, version, device, thread_count, keys)
    rest()
    assumed_data = any(bundle.products.rows.distinct("assumed").values)
    if assumed_data and not allow_assumed:
        raise AssumedDataError(
            f"bundle {bundle.manifest.bundle_version}: the catalogue holds assumed values; "
            "--allow-assumed serves it"
        )
    manifest = bundle.manifest
    gate = Gate(bundle.products.rows, policy)
    rest()
    _require_order(bundle, gate)
    encoder = Encoder(bundle.user_tower, device=device, thread_count=thread_count)
    rest()
    searched = open_retriever(bundle, index, retriever, device, thread_count=thread_count, kernel=path)
    rest()
    return Snapshot(
        bundle=bundle,
        policy=policy,
        encoder=encoder,
        retriever=searched,
        index_kind=index.kind,
        kernel=path,
        scorer=Scorer(
            bundle.item_vectors,
            reference.rank_ids(bundle.product_ids),
            user_scale=manifest.user_scale,
            item_scale=manifest.item_scale,
        ),
        gate=gate,
        filter=Filter(bundle.products.rows, gate.columns, policy),
        row_of={product_id: row for row, product_id in enumerate(bundle.product_ids)},
        facts=Facts(bundle.products),
        assumed_data=assumed_data,
        risk=None if bundle.risk is None else RiskScorer(bundle.risk),
    )


def _require_order(bundle: Bundle, gate: Gate) -> None:
    """Refuses a bundle in which learning content does not come first."""
    financial, learning_count = gate.columns.financial, bundle.learning_count
    if financial[:learning_count].any() or not financial[learning_count:].all():
        raise SnapshotError(
            f"bundle {bundle.manifest.bundle_version}: products.parquet: learning content must be the first "
            "rows, and only those"
        )


def under_policy(snapshot: Snapshot, policy: Policy) -> Snapshot:
    """Returns the same bundle and stages under another policy, which takes seconds for a large catalogue."""
    rows = snapshot.bundle.products.rows
    gate = Gate(rows, policy)
    return replace(snapshot, policy=policy, gate=gate, filter=Filter(rows, gate.columns, policy))


def all_under_policy(snapshots: Sequence[Snapshot], policy: Policy) -> tuple[Snapshot, ...]:
    """Returns everything that is served under another policy, each bundle compiled once."""
    compiled: dict[int, Snapshot] = {}
    for snapshot in snapshots:
        if id(snapshot.bundle) not in compiled:
            compiled[id(snapshot.bundle)] = under_policy(snapshot, policy)
    made = (compiled[id(snapshot.bundle)] for snapshot in snapshots)
    return tuple(
        replace(snapshot, policy=policy, gate=one.gate, filter=one.filter)
        for snapshot, one in zip(snapshots, made, strict=True)
    )


def with_retriever(
    snapshot: Snapshot, mode: Mode, device: Literal["cpu", "cuda"], thread_count: int
) -> Snapshot:
    """Returns the same bundle and policy, searched another way; for the arguments see `open_snapshot`."""
    bundle = snapshot.bundle
    index = ann.load_index(bundle.read_index(), device=device, thread_count=thread_count)
    searched = open_retriever(bundle, index, mode, device, thread_count=thread_count, kernel=snapshot.kernel)
    return replace(snapshot, retriever=searched)


def all_patched(
    snapshots: Sequence[Snapshot], patches: Patches, product_ids: Sequence[str] | None = None
) -> tuple[Snapshot, ...]:
    """Returns everything that is served with its products as the patches leave them.

    Args:
        snapshots: what is served, under one policy.
        patches: what binds.
        product_ids: the products to look at, the others being as patches left them; None for all.
    """
    gates: dict[int, Gate] = {}
    for snapshot in snapshots:
        if id(snapshot.gate) not in gates:
            bound = patches.bind(snapshot.bundle, snapshot.row_of, product_ids)
            gates[id(snapshot.gate)] = _patch_gate(snapshot, bound)
    return tuple(
        replace(snapshot, gate=gates[id(snapshot.gate)], catalogue_sequence=patches.sequence)
        for snapshot in snapshots
    )


def _patch_gate(snapshot: Snapshot, bound: Mapping[int, Fields]) -> Gate:
    if not bound:
        return snapshot.gate
    products = snapshot.bundle.products
    patched = [tighten(products.row(row), fields, snapshot.policy) for row, fields in bound.items()]
    return snapshot.gate.patched(np.array(list(bound), np.int64), patched)


def load_fit_policy(path: Path | None) -> Policy:
    """Loads a policy as it is, without signatures.

    Args:
        path: the file; None for the policy shipped with suitability.

    Raises:
        SnapshotError: it cannot be read or fails lint.
    """
    try:
        policy = load_policy(path or default_policy_path())
    except PolicyError as error:
        raise SnapshotError(f"policy: {error}") from error
    findings = lint(policy)
    if findings:
        raise SnapshotError(f"policy: unfit: {'; '.join(findings)}")
    return policy


def load_publishers(path: Path | None) -> KeyRing | None:
    """Loads the keys of those who may publish bundles; None where nobody asks.

    Raises:
        SettingsError: the file is not there, or is none of keys.
    """
    try:
        return None if path is None else load_keys(path)
    except SigningKeyError as error:
        raise SettingsError(f"bundle_keys: {error}") from error


def warm_up(snapshot: Snapshot, rest: Rest = never_rest) -> None:
    """Runs golden requests through tower, index and score, and golden borrowers through the risk model.

    Args:
        snapshot: nobody is answered with it yet.
        rest: called between pieces of the work.

    Raises:
        SnapshotError: an answer differs from the recorded one.
    """
    if snapshot.risk is not None:
        snapshot.risk.prove()
    for position, request in enumerate(snapshot.bundle.golden.requests):
        snapshot.encoder.check_feed(request.inputs)
        vectors = snapshot.encoder.embed(request.inputs)
        if not np.isfinite(vectors).all():
            raise SnapshotError(f"golden request {position}: the user tower gave NaN or infinity")
        query = snapshot.scorer.quantise(vectors)[0]
        distance = int(np.max(np.abs(query.astype(np.int64) - request.user_vector)))
        if distance > VECTOR_TOLERANCE:
            raise SnapshotError(
                f"golden request {position}: expected the recorded user vector within "
                f"{VECTOR_TOLERANCE} steps, got {distance}"
            )
        _check_ranking(snapshot, position, request)
        rest()


def _check_ranking(snapshot: Snapshot, position: int, request: GoldenRequest) -> None:
    row_count = snapshot.bundle.products.count
    first_round = snapshot.retriever.plan_first(0, row_count, len(request.product_ids) or 1)
    snapshot.retriever.search(request.user_vector[np.newaxis], [first_round])
    rows = np.arange(row_count, dtype=np.int64)
    scores = snapshot.scorer.score(request.user_vector, rows)
    best = snapshot.scorer.order(rows, scores, len(request.product_ids))
    found = tuple(snapshot.bundle.product_ids[row] for row in rows[best])
    if found != request.product_ids or tuple(scores[best].tolist()) != request.scores:
        raise SnapshotError(f"golden request {position}: the ranking differs from the recorded one")


def _open_bundle(
    bundles: Path,
    version: str | None,
    device: Literal["cpu", "cuda"],
    thread_count: int,
    keys: KeyRing | None,
) -> tuple[Bundle, AnnIndex]:
    try:
        path = read_current(bundles) if version is None else bundles / require_version_name(version)
    except IndexPackageError as error:
        raise SnapshotError(f"bundle: {error}") from error
    try:
        bundle = open_bundle(path, keys)
        return bundle, ann.load_index(bundle.read_index(), device=device, thread_count=thread_count)
    except AnnDeviceError as error:
        raise DeviceError(str(error)) from error
    except IndexPackageError as error:
        raise SnapshotError(f"bundle {path.name}: {error}") from error


def _find_path(kernel: str) -> str:
    try:
        return native.scan_path(kernel)
    except native.KernelInputError as error:
        raise SettingsError(f"kernel: {error}") from error
