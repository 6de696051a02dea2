"""Turns a product's tags and texts into hashed terms, so that a new product lies near products like it.

A term is a tag, a word in Latin letters or digits, or two neighbouring Chinese characters. Its code comes
from its bytes alone: nothing is fitted, and a term that training never saw has a code too.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.fields import Record

TERM_COUNT: Final = 32
TERM_CODE_COUNT: Final = 4096
_TEXTS: Final = ("title", "title_alternate", "description")
_RUN: Final = re.compile(r"[^\W_\u3400-\u9fff]+|[\u3400-\u9fff]+")


def encode_terms(products: Sequence[Record]) -> NDArray[np.int64]:
    """Encodes each product's first TERM_COUNT terms, tags first; 0 where there are no more.

    Returns:
        int64 [products, TERM_COUNT], from 0 to TERM_CODE_COUNT.
    """
    encoded = np.zeros((len(products), TERM_COUNT), np.int64)
    for row, product in enumerate(products):
        codes = [zlib.crc32(term.encode()) % TERM_CODE_COUNT + 1 for term in _list_terms(product)]
        encoded[row, : len(codes)] = codes
    return encoded


def _list_terms(product: Record) -> list[str]:
    """Lists distinct terms in their order; what is no text counts as missing."""
    tags = product.get("tags") or ()
    terms = [f"tag:{tag}" for tag in tags if isinstance(tag, str)]
    for name in _TEXTS:
        text = product.get(name)
        if isinstance(text, str):
            terms += [term for run in _RUN.findall(text.casefold()) for term in _cut(run)]
    return list(dict.fromkeys(terms))[:TERM_COUNT]


def _cut(run: str) -> list[str]:
    """Cuts Chinese characters, which stand without spaces, into neighbouring pairs; a word stays whole."""
    if "\u3400" <= run[0] <= "\u9fff" and len(run) > 2:
        return [run[place : place + 2] for place in range(len(run) - 1)]
    return [run]
