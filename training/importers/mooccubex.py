"""Imports MOOCCubeX enrolments: learners, courses and the courses' relations in the knowledge graph.

Layout: train.txt with lines `user item item ...`, test.txt held out and not read; item_list.txt with lines
`org_id remap_id` under a header; kg_final.txt, if there, with lines `head relation tail` by numbers, whose
heads are items. No times: the n-th item of a user's line is dated 2000-01-01T00:00:00Z plus n seconds.

A course's id is C<item>, its title the publisher's own id, its tags its relations as r<relation>:<tail>.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from training.dataset import DataSource, format_clock
from training.errors import MissingFileError, SchemaError
from training.importers.imported import ImportedData, no_profiles
from training.importers.pairs import make_interactions, read_lists
from training.schema import LIST_COUNT_MAX, PRODUCTS
from training.tables import RawTable, from_columns

ATTRIBUTION: Final = (
    "MOOCCubeX: Jifan Yu, Yuquan Wang, Qingyang Zhong et al. MOOCCubeX: A Large Knowledge-centered "
    "Repository for Adaptive Learning in MOOCs. CIKM 2021, doi 10.1145/3459637.3482010"
)
_CLOCK: Final = datetime(2000, 1, 2, tzinfo=UTC)


def import_mooccubex(directory: Path) -> ImportedData:
    """Reads the enrolments and what is known of the courses.

    Raises:
        MissingFileError: train.txt or item_list.txt is not there.
        SchemaError: a line is not of its layout; the message names file, line and field.
        EmptyDataError: there is no enrolment.
    """
    for name in ("train.txt", "item_list.txt"):
        if not (directory / name).is_file():
            raise MissingFileError(f"mooccubex: expected {name} in {directory}, found none")
    pairs = read_lists(directory / "train.txt", "enrol")
    titles = _read_titles(directory / "item_list.txt")
    relations = _read_relations(directory / "kg_final.txt")
    products = _make_products(titles | {item: item for item in set(pairs.items) - titles.keys()}, relations)
    interactions = make_interactions(pairs, "C")
    source = DataSource(
        name="mooccubex",
        simulated=False,
        licence="GPL-3.0",
        attribution=ATTRIBUTION,
        clock=format_clock(_CLOCK),
        notes=("enrolments have no times; they are dated one second apart, in the order of their line",),
        counts={"interactions": interactions.table.num_rows, "products": products.table.num_rows},
        dated=False,
    )
    return ImportedData(interactions, products, no_profiles(), source, {})


def _make_products(titles: Mapping[str, str], relations: Mapping[str, list[str]]) -> RawTable:
    items = sorted(titles, key=lambda item: (len(item), item))
    columns = {
        "id": [f"C{item}" for item in items],
        "title": [titles[item] for item in items],
        "family": ["COURSE"] * len(items),
        "tags": [relations.get(item) for item in items],
    }
    return from_columns(PRODUCTS, columns)


def _read_titles(path: Path) -> dict[str, str]:
    titles: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            cells = line.split()
            if number == 1 or not cells:
                continue
            if len(cells) != 2 or not _is_number(cells[1]):
                text = line.strip()[:80]
                raise SchemaError(
                    f"{path.name}: line {number}: expected org_id and remap_id, a number, got {text!r}"
                )
            if cells[1] in titles:
                raise SchemaError(f"{path.name}: line {number}: remap_id {cells[1]} is listed more than once")
            titles[cells[1]] = cells[0]
    return titles


def _read_relations(path: Path) -> dict[str, list[str]]:
    relations: dict[str, set[str]] = defaultdict(set)
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            cells = line.split()
            if not cells:
                continue
            if len(cells) != 3 or not all(map(_is_number, cells)):
                text = line.strip()[:80]
                raise SchemaError(
                    f"{path.name}: line {number}: expected the numbers head, relation, tail, got {text!r}"
                )
            relations[cells[0]].add(f"r{cells[1]}:{cells[2]}")
    return {item: sorted(tags)[:LIST_COUNT_MAX] for item, tags in relations.items()}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
