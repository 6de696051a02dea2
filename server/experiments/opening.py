"""Opens what experiments serve beside the current bundle, and checks that it may stand beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

import structlog

from server.config import RetrieverMode, Settings
from server.diversity import DIVERSE_K_MAX
from server.errors import ExperimentsError, SnapshotError
from server.experiments.assignment import Experiments, Key
from server.experiments.catalogues import require_same_facts
from server.experiments.plan import Plan, list_variants, load_plan
from server.snapshot import CURRENT, Snapshot, load_publishers, open_snapshot, with_retriever
from suitability.signatures import KeyRing

BUNDLE_COUNT_MAX: Final = 4
"""Each bundle beside the current one is held in memory as a whole."""

_log = structlog.get_logger("server")


def read_plan(settings: Settings) -> Plan:
    """Reads the experiments that the settings name; an empty plan if they name none.

    Raises:
        ExperimentsError: the file, or what it asks for, cannot be used; the message names the field.
    """
    plan = Plan() if settings.experiments is None else load_plan(settings.experiments)
    _check_settings(plan, settings)
    return plan


def open_experiments(
    plan: Plan, settings: Settings, current: Snapshot, opened: Sequence[Snapshot] = ()
) -> tuple[Experiments, tuple[Snapshot, ...]]:
    """Opens every bundle and way to search that a user can draw.

    Args:
        plan: the experiments.
        settings: of the server.
        current: the snapshot of the current bundle.
        opened: snapshots of bundles that are open already, under the policy of the current one.

    Returns:
        what assigns users, and the snapshots that stand beside the current one, by place.

    Raises:
        ExperimentsError: a bundle cannot be opened or may not stand beside the current one.
        SettingsError: the publishers' keys cannot be read.
    """
    # Of several snapshots of one bundle, the first searches as the settings say.
    bundles = _open_bundles(plan, settings, current, {each.version: each for each in reversed(opened)})
    modes = {variant.settings.retriever for _, variant in list_variants(plan)}
    places: dict[Key, int] = {}
    served: dict[tuple[str, RetrieverMode], Snapshot] = {}
    for version, mode in product((None, *bundles), sorted(modes | {None}, key=str)):
        asked = (version or current.version, mode or settings.retriever)
        if asked not in served:
            bundle = bundles[asked[0]]
            if asked[1] != settings.retriever:
                bundle = with_retriever(bundle, asked[1], settings.device, settings.threads)
            served[asked] = replace(bundle, place=len(served))
        places[version, mode] = served[asked].place
    if plan.experiments:
        names = [each.name for each in plan.experiments]
        _log.info("experiments", names=names, bundles=[*bundles], snapshots=len(served))
    return Experiments(plan, places), tuple(served.values())[CURRENT + 1 :]


def _open_bundles(
    plan: Plan, settings: Settings, current: Snapshot, at_hand: Mapping[str, Snapshot]
) -> dict[str, Snapshot]:
    """Opens the bundles that variants name, the current one among them, by version."""
    bundles, keys = {current.version: current}, load_publishers(settings.bundle_keys)
    for field, variant in list_variants(plan):
        if variant.bundle is None or variant.bundle in bundles:
            continue
        if len(bundles) > BUNDLE_COUNT_MAX:
            problem = f"expected at most {BUNDLE_COUNT_MAX} bundles beside the current one"
            raise ExperimentsError(f"{field}.bundle: {problem}, got one more")
        opened = at_hand.get(variant.bundle) or _open(field, variant.bundle, settings, current, keys)
        require_same_facts(f"{field}.bundle", current.bundle.products, opened.bundle.products)
        bundles[variant.bundle] = opened
    return bundles


def _open(field: str, version: str, settings: Settings, current: Snapshot, keys: KeyRing | None) -> Snapshot:
    try:
        return open_snapshot(
            settings.bundles,
            current.policy,
            device=settings.device,
            thread_count=settings.threads,
            retriever=settings.retriever,
            allow_assumed=settings.allow_assumed,
            kernel=settings.kernel,
            version=version,
            keys=keys,
        )
    except SnapshotError as error:
        raise ExperimentsError(f"{field}.bundle: {error}") from error


def _check_settings(plan: Plan, settings: Settings) -> None:
    """Refuses what this server would refuse of its own settings, too."""
    if plan.experiments and settings.store is None and settings.pseudonym_keys is None:
        raise ExperimentsError(
            "experiments: needs pseudonym_keys or a store: with keys of this process only, "
            "users would change their variants at every start"
        )
    for field, variant in list_variants(plan):
        if variant.settings.retriever == "gpu" and settings.device != "cuda":
            raise ExperimentsError(
                f"{field}.settings.retriever: gpu needs device cuda, got {settings.device}"
            )
        trade_off = variant.settings.diversity_trade_off
        if trade_off is not None and trade_off < 1 and settings.k_max > DIVERSE_K_MAX:
            problem = f"below 1 needs k_max of at most {DIVERSE_K_MAX}, got {settings.k_max}"
            raise ExperimentsError(f"{field}.settings.diversity_trade_off: {problem}")
