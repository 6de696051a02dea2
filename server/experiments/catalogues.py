"""Refuses to compare bundles that say different things about a product: a variant must not loosen a rule."""

import numpy as np

from index.products import STATED_TIME, ProductTable
from server.errors import ExperimentsError
from suitability.json_records import ASSUMED
from suitability.records import PRODUCT_FIELDS


def require_same_facts(field: str, current: ProductTable, other: ProductTable) -> None:
    """Checks that a bundle holds no product that the current one lacks, and no other facts about any.

    An older catalogue would know nothing of a level that was raised since or of a product that was withdrawn,
    and would be the looser one. One stated later would drop patches that bind on the current one. Fewer
    products are no harm.

    Args:
        field: names the bundle, for the message.
        current: the catalogue of the current bundle.
        other: that of the variant.

    Raises:
        ExperimentsError: they differ; the message names a product and the field of it.
    """
    row_of = {product_id: row for row, product_id in enumerate(current.ids)}
    strange = next((product_id for product_id in other.ids if product_id not in row_of), None)
    if strange is not None:
        raise ExperimentsError(f"{field}: expected products of the current bundle only, got {strange!r}")
    rows = np.array([row_of[product_id] for product_id in other.ids], np.int64)  # [product_count of other]
    for name in (*PRODUCT_FIELDS, ASSUMED, STATED_TIME):
        ours, theirs = current.rows.distinct(name), other.rows.distinct(name)
        # Of both catalogues together, so that equal values have one number, also if they stand there twice.
        numbers: dict[object, int] = {}
        number_ours = np.array([numbers.setdefault(_key(each), len(numbers)) for each in ours.values])
        number_theirs = np.array([numbers.setdefault(_key(each), len(numbers)) for each in theirs.values])
        differs = number_ours[ours.codes[rows]] != number_theirs[theirs.codes]
        if differs.any():
            product_id = other.ids[int(np.argmax(differs))]
            problem = f"product {product_id!r}: {name} is not what the current bundle says"
            raise ExperimentsError(f"{field}: {problem}; build both from one catalogue")


def _key(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
