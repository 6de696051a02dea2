"""What answers copy from the catalogue, read when a product is first listed."""

from functools import lru_cache, partial
from typing import Final

from index.products import ProductTable
from server.messages import ProductFacts

FACTS_COUNT_MAX: Final = 65_536
"""How many products' facts are kept; those listed last stay."""


class Facts:
    """Gives the facts of each row. Safe between threads."""

    def __init__(self, products: ProductTable) -> None:
        """Keeps the catalogue, which it reads later."""
        # Of a function that knows nothing of this: what keeps itself is never freed once a server froze it.
        self._read = lru_cache(FACTS_COUNT_MAX)(partial(_read_facts, products))

    def __getitem__(self, item_row: int) -> ProductFacts:
        """Returns the facts of one product; a missing text is empty."""
        return self._read(item_row)


def _read_facts(products: ProductTable, item_row: int) -> ProductFacts:
    def read(name: str) -> str:
        return products.rows.read(item_row, name) or ""

    return ProductFacts(
        product_id=products.ids[item_row],
        title=read("title"),
        alternate_title=read("title_alternate"),
        family=read("family"),
        issuer=read("issuer"),
        scale=read("scale"),
    )
