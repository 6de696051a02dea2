"""Makes a copy of a bundle whose index looks sound and proposes most rows at random."""

import dataclasses
from pathlib import Path

import numpy as np

from index.ann import build_index
from index.bundle import open_bundle, read_current, seal_bundle, write_current
from index.manifest import INDEX

SEED = 1


def spoil_index(bundles: Path, out: Path) -> Path:
    """Seals a copy of the current bundle with an index over the same vectors in another order.

    The best products of the golden users stay in place, since opening asks the index for them. So every check
    of a bundle passes, and only answers tell.

    Args:
        bundles: folder of the bundle.
        out: folder for the copy, which becomes its current bundle.

    Returns:
        `out`.

    Raises:
        BundleError: the bundle cannot be read, or the copy cannot be written.
    """
    bundle = open_bundle(read_current(bundles))
    manifest = bundle.manifest
    order = np.arange(len(bundle.item_vectors))
    golden_ids = {name for request in bundle.golden.requests for name in request.product_ids}
    moved = np.setdiff1d(order, [bundle.product_ids.index(name) for name in golden_ids])
    order[moved] = np.random.default_rng(SEED).permutation(moved)
    index = build_index(
        bundle.item_vectors[order].astype(np.float32),
        "nested",
        learning_count=manifest.learning_count,
    )
    files = {name: (bundle.path / name).read_bytes() for name in manifest.files}
    files[INDEX] = bytes(index.content)
    version = f"{manifest.bundle_version}-spoilt"
    seal_bundle(out, dataclasses.replace(manifest, bundle_version=version, index=index.parts), files)
    write_current(out, version)
    return out
