"""Imports the UCI sets of borrowers: default of credit card clients (350), and Statlog German credit (144).

What the law protects (sex, age, marriage, nationality) is kept in the table and marked, so that what leaving
it out costs can be measured; no model reads it unless asked.
"""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from index.risk_bins import Value
from training.dataset import DataSource
from training.errors import EmptyDataError, MissingFileError, SchemaError
from training.importers.uci_reasons import REASON_TEXTS
from training.risk.table import BorrowerTable, RiskField, TableQuality

_LICENCE: Final = "CC BY 4.0"
_DEFAULT_NAMES: Final = frozenset(
    {"default", "default payment next month", "default.payment.next.month", "Y"}
)


@dataclass(frozen=True)
class ImportedBorrowers:
    """What an importer hands over."""

    table: BorrowerTable
    quality: TableQuality


def _number(name: str, direction: int, reason: str, text: str, *, protected: bool = False) -> RiskField:
    return RiskField.model_validate(
        {"name": name, "kind": "number", "direction": direction, "reason": reason, "text": text}
        | {"protected": protected}
    )


def _category(name: str, reason: str, text: str, *, protected: bool = False) -> RiskField:
    return RiskField(name=name, kind="category", reason=reason, text=text, protected=protected)


_DELAY_TEXT: Final = "months of delay; the publisher uses -2, -1 and 0 for bills paid or carried duly"
CREDIT_DEFAULT_FIELDS: Final = (
    _number("LIMIT_BAL", -1, "RSK_CREDIT_LIMIT", "credit granted, New Taiwan dollars"),
    _category("SEX", "RSK_SEX", "1 male, 2 female", protected=True),
    _category("EDUCATION", "RSK_EDUCATION", "1 graduate school, 2 university, 3 high school, others unnamed"),
    _category("MARRIAGE", "RSK_MARRIAGE", "1 married, 2 single, 3 others", protected=True),
    _number("AGE", 0, "RSK_AGE", "years", protected=True),
    *(
        _number(f"PAY_{month}", 1, "RSK_PAYMENT_DELAY", f"{_DELAY_TEXT}; {place} of 6, the latest first")
        for place, month in enumerate((0, 2, 3, 4, 5, 6), start=1)
    ),
    *(
        _number(f"BILL_AMT{month}", 0, "RSK_BALANCE", "amount of the bill, New Taiwan dollars")
        for month in range(1, 7)
    ),
    *(
        _number(f"PAY_AMT{month}", -1, "RSK_AMOUNT_PAID", "amount paid, New Taiwan dollars")
        for month in range(1, 7)
    ),
)
"""In the publisher's order: X1 to X23."""

GERMAN_FIELDS: Final = (
    _category("checking_status", "RSK_CHECKING_ACCOUNT", "balance of the checking account, A11 to A14"),
    _number("duration_months", 1, "RSK_DURATION", "duration of the credit, months"),
    _category("credit_history", "RSK_CREDIT_HISTORY", "credits taken and how they were paid, A30 to A34"),
    _category("purpose", "RSK_PURPOSE", "what the credit is for, A40 to A410"),
    _number("credit_amount", 0, "RSK_CREDIT_AMOUNT", "Deutsche Mark"),
    _category("savings", "RSK_SAVINGS", "savings and bonds, A61 to A65"),
    _category("employed_since", "RSK_EMPLOYMENT", "present employment, A71 to A75"),
    _number("instalment_rate", 1, "RSK_INSTALMENT", "percentage of disposable income, in four classes"),
    _category("personal_status", "RSK_PERSONAL_STATUS", "sex and marriage, A91 to A95", protected=True),
    _category("other_debtors", "RSK_GUARANTOR", "co-applicants and guarantors, A101 to A103"),
    _number("residence_since", 0, "RSK_RESIDENCE", "years at the present residence"),
    _category("property", "RSK_PROPERTY", "A121 to A124"),
    _number("age", 0, "RSK_AGE", "years", protected=True),
    _category("other_instalments", "RSK_OTHER_CREDIT", "other instalment plans, A141 to A143"),
    _category("housing", "RSK_HOUSING", "rented, owned or free, A151 to A153"),
    _number("existing_credits", 0, "RSK_OTHER_CREDIT", "credits at this bank"),
    # Two of its classes are parted by whether the borrower is a resident.
    _category("job", "RSK_JOB", "skill and residence, A171 to A174", protected=True),
    _number("dependants", 0, "RSK_DEPENDANTS", "people whom the borrower must maintain"),
    _category("telephone", "RSK_TELEPHONE", "A191 none, A192 registered"),
    _category("foreign_worker", "RSK_FOREIGN_WORKER", "A201 yes, A202 no", protected=True),
)
"""In the publisher's order: attributes 1 to 20."""


def import_credit_default(directory: Path) -> ImportedBorrowers:
    """Reads the one .csv of a directory: the names of the publisher's sheet, its X1 to X23 and Y, or both.

    Raises:
        MissingFileError: there is not one .csv.
        SchemaError: a column is missing.
        EmptyDataError: no row can be kept.
    """
    path = _find_one(directory, "*.csv", "save the publisher's .xls as .csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = [line for line in csv.reader(file) if line]
    header = [cell.strip() for cell in lines[0]] if lines else []
    start = 1
    if len(lines) > 1 and "ID" in lines[1]:
        # The publisher's sheet has a row of X1 to Y above the names.
        header, start = [cell.strip() for cell in lines[1]], 2
    places = {_rename(name): place for place, name in enumerate(header)}
    wanted = ["ID", "default", *(field.name for field in CREDIT_DEFAULT_FIELDS)]
    missing = [name for name in wanted if name not in places]
    if missing:
        raise SchemaError(f"{path.name}: column {missing[0]!r} is missing; found {header}")
    rows = [_pick(line, [places[name] for name in wanted]) for line in lines[start:]]
    source = DataSource(
        name="uci-credit-default",
        simulated=False,
        licence=_LICENCE,
        attribution="I-Cheng Yeh and Che-hui Lien (2009). Default of Credit Card Clients. UCI Machine "
        "Learning Repository, doi 10.24432/C55S3H",
        clock="2005-10-01T00:00:00Z",
        notes=("defaulted is the publisher's default payment in the month after the last of six bills",),
    )
    return _collect(rows, CREDIT_DEFAULT_FIELDS, source, "uci-credit", {"0": False, "1": True})


def import_german_credit(directory: Path) -> ImportedBorrowers:
    """Reads german.data; a borrower's id is the number of the line.

    Raises:
        MissingFileError: the file is not there.
        EmptyDataError: no row can be kept.
    """
    path = _find_one(directory, "german.data", "the publisher's german.data")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        sound = len(cells) == len(GERMAN_FIELDS) + 1
        rows.append([str(number), cells[-1], *cells[:-1]] if sound else None)
    source = DataSource(
        name="uci-german-credit",
        simulated=False,
        licence=_LICENCE,
        attribution="Hans Hofmann (1994). Statlog (German Credit Data). UCI Machine Learning Repository, "
        "doi 10.24432/C5NC77",
        clock="1994-11-17T00:00:00Z",
        notes=("defaulted is the publisher's class 2, bad", "an id is the number of the line"),
    )
    return _collect(rows, GERMAN_FIELDS, source, "uci-german", {"1": False, "2": True})


RISK_IMPORTERS: Final[Mapping[str, tuple[Callable[[Path], ImportedBorrowers], str]]] = MappingProxyType(
    {
        "uci-credit-default": (import_credit_default, "30,000 credit card clients, for `training risk`"),
        "uci-german-credit": (import_german_credit, "1,000 borrowers, for `training risk`"),
    }
)


def _find_one(directory: Path, pattern: str, expected: str) -> Path:
    found = sorted(directory.glob(pattern))
    if len(found) != 1:
        raise MissingFileError(
            f"expected one {pattern} in {directory} ({expected}), found {[path.name for path in found]}"
        )
    return found[0]


def _rename(name: str) -> str:
    if name in _DEFAULT_NAMES:
        return "default"
    if name[:1] == "X" and name[1:].isdecimal() and 1 <= int(name[1:]) <= len(CREDIT_DEFAULT_FIELDS):
        return CREDIT_DEFAULT_FIELDS[int(name[1:]) - 1].name
    return name


def _pick(line: Sequence[str], places: Sequence[int]) -> list[str] | None:
    return [line[place].strip() for place in places] if len(line) > max(places) else None


def _collect(
    rows: Sequence[list[str] | None],
    fields: tuple[RiskField, ...],
    source: DataSource,
    split: str,
    outcomes: Mapping[str, bool],
) -> ImportedBorrowers:
    """Keeps the rows that can be read; a row is [id, outcome, field, ...], None where it is malformed."""
    kept: dict[str, tuple[bool, list[Value]]] = {}
    set_aside: dict[str, list[int]] = {}
    for number, row in enumerate(rows, start=1):
        values = _read_row(row, fields) if row is not None else None
        if row is None or values is None or not row[0]:
            set_aside.setdefault("malformed_row", []).append(number)
        elif row[1] not in outcomes:
            set_aside.setdefault("unknown_outcome", []).append(number)
        elif row[0] in kept:
            set_aside.setdefault("duplicate_id", []).append(number)
        else:
            kept[row[0]] = (outcomes[row[1]], values)
    if not kept:
        raise EmptyDataError(f"{source.name}: expected borrowers, found no row that can be read")
    table = BorrowerTable(
        source=source,
        split=split,
        fields=fields,
        ids=tuple(kept),
        defaulted=np.array([outcome for outcome, _ in kept.values()], np.bool_),
        columns={
            field.name: [values[place] for _, values in kept.values()] for place, field in enumerate(fields)
        },
        reason_texts=REASON_TEXTS,
    )
    return ImportedBorrowers(table, TableQuality(len(rows), len(kept), set_aside))


def _read_row(row: Sequence[str], fields: Sequence[RiskField]) -> list[Value] | None:
    """Reads the fields of a row; None where a number is none. An empty cell is missing."""
    values: list[Value] = []
    for cell, field in zip(row[2:], fields, strict=True):
        if not cell:
            values.append(None)
        elif field.kind == "category":
            # Codes are whole numbers in the publisher's sheet, and 2.0 in what others saved from it.
            values.append(cell.removesuffix(".0"))
        else:
            try:
                number = float(cell)
            except ValueError:
                return None
            if not np.isfinite(number):
                return None
            values.append(number)
    return values
