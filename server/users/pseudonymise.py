"""Writes a data set under the pseudonyms of a store, so that training can join feedback to it without any id.

Erased users are left out, and listed by their pseudonyms: whoever keeps older copies can leave them out too.
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from server.errors import StoreError
from server.users.pseudonyms import Pseudonyms
from server.users.store import UserStore

ERASED: Final = "erased.txt"
_TABLES: Final = ("interactions.parquet", "profiles.parquet")
_SOURCE: Final = "source.json"


@dataclass(frozen=True, slots=True)
class PseudonymisedCounts:
    """What was written: users, of whom `new_count` are not in the store, and users who were left out."""

    user_count: int
    new_count: int
    erased_count: int


def pseudonymise(data: Path, out: Path, store: UserStore, pseudonyms: Pseudonyms) -> PseudonymisedCounts:
    """Writes a data set anew, whole or not at all.

    Args:
        data: a data set of training, with the callers' user ids.
        out: where to; it must not exist. Files that may hold user ids in other places are not taken over.
        store: says under which pseudonym a user is stored, and who was erased.
        pseudonyms: those of the store.

    Raises:
        StoreError: an input is missing or wrong, the target exists, or it cannot be written.
        StoreReadError: the store cannot be asked.
    """
    if out.exists():
        raise StoreError(f"{out}: already there; expected a new directory")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        tables = {name: pq.read_table(data / name, use_threads=False) for name in _TABLES}
        source = json.loads((data / _SOURCE).read_text(encoding="utf-8"))
        names, counts = _name_users(tables, store, pseudonyms)
        temporary.mkdir(parents=True, mode=0o700)
        for name, table in tables.items():
            pq.write_table(_rename(table, names), temporary / name)
        shutil.copyfile(data / "products.parquet", temporary / "products.parquet")
        kept = {persona: names[user] for persona, user in source.get("personas", {}).items() if user in names}
        text = json.dumps(source | {"personas": kept}, indent=2, ensure_ascii=False, sort_keys=True)
        (temporary / _SOURCE).write_text(text + "\n", encoding="utf-8")
        erased = sorted(name.hex() for name in store.erased_names())
        (temporary / ERASED).write_text("".join(f"{name}\n" for name in erased), encoding="ascii")
        temporary.rename(out)
    except (OSError, ValueError, KeyError, AttributeError, pa.ArrowException) as error:
        # An error of these may quote a cell, and a cell may be a user id.
        raise StoreError(
            f"{data}: expected a data set that can be read, and {out} that can be written"
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)
    return counts


def _name_users(
    tables: Mapping[str, pa.Table], store: UserStore, pseudonyms: Pseudonyms
) -> tuple[dict[str, str], PseudonymisedCounts]:
    """Gives every user of the tables the pseudonym that they have, hexadecimal; the erased get none."""
    found: dict[str, str] = {}
    new_count = erased_count = 0
    users: set[Any] = set()
    for table in tables.values():
        users.update(pc.unique(table["user_id"]).to_pylist())
    for user in sorted(users):
        names = pseudonyms.derive_all(user)
        stored = store.find(names, with_history=False)
        if stored is not None:
            found[user] = stored.pseudonym.hex()
        elif store.is_erased(names):
            erased_count += 1
        else:
            new_count += 1
            found[user] = names[0].hex()
    return found, PseudonymisedCounts(len(found), new_count, erased_count)


def _rename(table: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """Replaces user ids; rows of users without a name are left out."""
    known = table.filter(pc.is_in(table["user_id"], value_set=pa.array(list(names), pa.string())))
    place: Any = pc.index_in(known["user_id"], value_set=pa.array(list(names), pa.string()))
    renamed = pa.array(list(names.values()), pa.string()).take(place.combine_chunks())
    return known.set_column(table.schema.get_field_index("user_id"), "user_id", renamed)
