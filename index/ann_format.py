"""Reads serialised faiss indexes where they lie, and checks that what they hold leads nowhere else.

What faiss does not check when it reads, a search would follow: a list's rows, a graph's links between levels.
"""

from __future__ import annotations

from typing import Any

import faiss as faiss_module
import numpy as np
from numpy.typing import NDArray

from index.errors import AnnFormatError
from index.tiers import IndexFile, IndexPart, is_whole

faiss: Any = faiss_module  # Its type stubs lag the library.


def check_index(file: IndexFile, count: int, dim: int) -> None:
    """Checks that an index is readable and holds each of `count` rows of `dim` values.

    Raises:
        AnnFormatError: it does not; the message names the part.
    """
    for index, part in zip(read_parts(file), file.parts, strict=True):
        if int(index.d) != dim:
            raise AnnFormatError(f"{part.name}: dim is {index.d}; expected {dim}")
        if isinstance(index, faiss.IndexIVF):
            _check_lists(index, part, index.quantizer)
        elif isinstance(index, faiss.IndexHNSW):
            _check_graph(index.hnsw, part)
    found = max(part.row_stop for part in file.parts)
    if found != count:
        raise AnnFormatError(f"holds {found} rows; expected {count}")


def read_parts(file: IndexFile) -> list[Any]:
    """Reads every part without copying its vectors.

    Raises:
        AnnFormatError: a part is not the index that it is said to be.
    """
    content = np.frombuffer(file.content, dtype=np.uint8)
    if not file.parts or sum(part.size for part in file.parts) != len(content):
        sizes = [part.size for part in file.parts]
        raise AnnFormatError(f"{len(content)} bytes; expected parts of {sizes}")
    count = max(part.row_stop for part in file.parts)
    if not is_whole(file.parts, count):
        names = [part.name for part in file.parts]
        raise AnnFormatError(f"holds {names}; expected parts that together are rows [0, {count})")
    indexes, start = [], 0
    for part in file.parts:
        indexes.append(_read_part(content[start : start + part.size], part))
        start += part.size
    return indexes


def read_lists(index: Any) -> list[NDArray[np.int64]]:
    """Returns the rows of each list of an inverted file, in its own memory."""
    lists, sizes = index.invlists, map(index.invlists.list_size, range(index.nlist))
    empty = np.empty(0, np.int64)
    return [faiss.rev_swig_ptr(lists.get_ids(each), n) if n else empty for each, n in enumerate(sizes)]


def list_count_of(index: Any) -> int:
    """Returns the lists of an inverted file, 1 for other kinds."""
    return int(index.nlist) if isinstance(index, faiss.IndexIVF) else 1


def _read_part(content: NDArray[np.uint8], part: IndexPart) -> Any:
    reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(content), len(content))
    try:
        index = faiss.read_index(reader)
    except (RuntimeError, MemoryError) as error:  # The latter where a damaged count asks for too much.
        raise AnnFormatError(f"{part.name}: expected a faiss index of {part.size} bytes: {error}") from error
    if not isinstance(index, faiss.IndexFlat | faiss.IndexIVFFlat | faiss.IndexHNSWFlat):
        raise AnnFormatError(f"{part.name}: it is {type(index).__name__}, which is not supported")
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise AnnFormatError(f"{part.name}: it has metric {index.metric_type}; expected the inner product")
    if reader.rp_ != part.size:
        raise AnnFormatError(f"{part.name}: it ends after {reader.rp_} of {part.size} bytes")
    found = (type(index).__name__, int(index.ntotal), list_count_of(index))
    if found != (part.kind, part.count, part.list_count):
        raise AnnFormatError(
            f"{part.name}: it is {found}; expected {part.count} rows in {part.list_count} lists"
        )
    for effort in (part.effort, *part.range_efforts, *part.mask_efforts):
        if not 1 <= effort <= part.effort_max:
            raise AnnFormatError(f"{part.name}: an effort is {effort}; expected 1 to {part.effort_max}")
    return index


def _check_lists(index: Any, part: IndexPart, centres: Any) -> None:
    """Checks that each list has a centre, and that the lists hold each row once."""
    if (centres.d, centres.ntotal) != (index.d, part.list_count):
        found = f"{centres.ntotal} centres of dim {centres.d}"
        raise AnnFormatError(f"{part.name}: has {found}; expected {part.list_count} of {index.d}")
    rows = np.concatenate(read_lists(index))
    inside = len(rows) == part.count and 0 <= rows.min() <= rows.max() < part.count
    if not inside or np.bincount(rows, minlength=part.count).max() > 1:
        raise AnnFormatError(
            f"{part.name}: its lists hold {len(rows)} rows; expected each from 0 to {part.count - 1} once"
        )


def _check_graph(graph: Any, part: IndexPart) -> None:
    """Checks that every link of a graph leads to a row that is on the link's level.

    Reading has made sure that offsets, and rows that links lead to, are there. A row has room for links on
    the levels below its own number of them only; what would be read as those of a level above is another's.

    Raises:
        AnnFormatError: a search would leave the levels that rows have.
    """
    levels, offsets, room = (
        faiss.vector_to_array(values).astype(np.int64)
        for values in (graph.levels, graph.offsets, graph.cum_nneighbor_per_level)
    )
    entry, top = int(graph.entry_point), int(graph.max_level)
    if not 0 <= entry < part.count or levels[entry] != top + 1:
        raise AnnFormatError(f"{part.name}: it is entered at row {entry}; expected one of level {top}")
    links = faiss.rev_swig_ptr(graph.neighbors.data(), int(offsets[-1]))
    for level in range(1, top + 1):
        places = np.arange(room[level], room[level + 1])
        linked = links[offsets[:-1][levels > level, np.newaxis] + places]
        if (levels[linked[linked >= 0]] <= level).any():
            raise AnnFormatError(f"{part.name}: links of level {level} lead to rows below it")
