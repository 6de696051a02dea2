"""Opens the folder of patches at start, and says which of them bind."""

from collections.abc import Mapping
from pathlib import Path

import structlog

from index.bundle import Bundle
from server.catalogue.state import CatalogueState
from server.followed_log import Appender

_log = structlog.get_logger("server")


def open_catalogue(
    folder: Path, bundle: Bundle, row_of: Mapping[str, int], appender: Appender | None = None
) -> CatalogueState:
    """Opens a folder of patches.

    Args:
        folder: the folder; it must be there.
        bundle: the bundle that serves.
        row_of: the row of each of its products.
        appender: writes the log where several processes share it; None where this one does.

    Raises:
        CatalogueStateError: the log cannot be used.
    """
    catalogue = CatalogueState(folder, appender)
    _log.info(
        "catalogue",
        catalogue_sequence=catalogue.patches.sequence,
        patched_products=len(catalogue.patches.stated),
        binding_products=len(catalogue.patches.bind(bundle, row_of)),
    )
    return catalogue
