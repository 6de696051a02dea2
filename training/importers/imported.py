"""What an importer hands over: three tables as stated by the source, and estimates beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.dataset import DataSource
from training.schema import PROFILES
from training.tables import RawTable, from_columns


@dataclass(frozen=True)
class ImportedData:
    """Tables of a source before any check.

    Attributes:
        interactions, products, profiles: what the source states; what it does not state is missing.
        source: the description, without assumptions.
        estimates: by table and field, Arrow arrays as long as the table, of values that the source or its
            users estimated; they enter a table only through an assumptions file.
    """

    interactions: RawTable
    products: RawTable
    profiles: RawTable
    source: DataSource
    estimates: Mapping[str, Mapping[str, Any]]


def no_profiles() -> RawTable:
    """Returns a profile table without rows, for sources that say nothing about users."""
    return from_columns(PROFILES, {"user_id": np.array([], dtype=object)})
