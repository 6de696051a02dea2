"""Imports FAR-Trans, bank customers and the assets they bought, in the publisher's layout.

Reads customer_information.csv, asset_information.csv, transactions.csv and, where they exist,
close_prices.csv and a derived asset_risk_bands.csv (ISIN, risk_band 0..3 or empty, source). Line by line:

* Customers and assets appear several times; the row with the latest `timestamp` counts (the last of equals).
* riskLevel Conservative, Income, Balanced, Aggressive -> risk_level 1, 2, 3, 4, so that a customer of band b
  may see assets of band <= b: asset bands 0..3 are levels 1..4 of scale CN5. C5 is not used: the source has
  four bands. Predicted_* was imputed by the bank and is only an estimate; Not_Available is missing.
* lastQuestionnaireDate -> assessed_on, except 2000-01-01, the source's filler. `timestamp` -> profile_as_of.
* assetCategory MTF (mutual fund) -> FUND, Stock and Bond -> WEALTH (the families name no listed securities).
* An asset's band is not stated by the publisher: it is an estimate, from asset_risk_bands.csv, else from the
  sub-category (bonds and funds only; the rule is that of the `metadata` rows of that file).
* closePrice up to the end of the data -> computed_risk_class, where there are enough of them, with
  risk_formula and risk_inputs (training/product_risk.py). A class may only raise the risk of an asset, so it
  is stated in a strict import too.
* Buy -> purchase at its date, 00:00 UTC. Sell is counted and left out: it says nothing about liking.
* customerType Professional is a sole proprietor, no professional client: client_type stays missing, RETAIL.
* Everything else that suitability needs is not stated and stays missing: a strict import shows nobody
  anything. What can be estimated from customerType, investmentCapacity, the kind of an asset and the trades
  is offered to an assumptions file (far_trans_estimates.py).

Source: Sanz-Cruzado, Droukas, McCreadie 2024, doi 10.5525/gla.researchdata.1658, CC BY 4.0.
"""

import re
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from training.dataset import DataSource
from training.errors import MissingFileError
from training.importers.far_trans_estimates import (
    ORDER,
    estimate_assets,
    estimate_customers,
    estimate_holdings,
)
from training.importers.imported import ImportedData
from training.product_risk import FORMULA, collect_prices, compute_risk
from training.schema import ARROW_TYPES, INTERACTIONS, PRODUCTS, PROFILES, Kind
from training.tables import Fault, RawTable, from_columns, parse_text, read_csv_text

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

CLOCK: Final = "2022-11-29T00:00:00Z"  # The end of the published data.
ATTRIBUTION: Final = (
    "FAR-Trans: Javier Sanz-Cruzado, Nikolaos Droukas, Richard McCreadie. FAR-Trans: An Investment Dataset "
    "for Financial Asset Recommendation. Fin-RecSys 2024. University of Glasgow, "
    "doi 10.5525/gla.researchdata.1658"
)
RISK_LEVELS: Final = {"Conservative": 1, "Income": 2, "Balanced": 3, "Aggressive": 4}
PREDICTED_LEVELS: Final = {f"Predicted_{name}": level for name, level in RISK_LEVELS.items()}
FAMILIES: Final = {"MTF": "FUND", "Stock": "WEALTH", "Bond": "WEALTH"}
BAND_LEVELS: Final = {"0": 1, "1": 2, "2": 3, "3": 4}
FILLER_DATE: Final = "2000-01-01"
AMOUNT_PATTERN: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?\Z")
BANDS_BY_SUBCATEGORY: Final = {
    ("Bond", "Government"): 0,
    ("Bond", "Corporate"): 1,
    ("MTF", "Money Market"): 0,
    ("MTF", "Bond"): 1,
    ("MTF", "Bonds"): 1,
    ("MTF", "Balanced"): 2,
    ("MTF", "Equity"): 3,
}
NOTES: Final = (
    "the latest dated row of a customer or asset counts",
    "riskLevel Conservative, Income, Balanced, Aggressive are risk levels 1 to 4",
    "a Predicted_* risk level is the bank's own estimate",
    "asset bands 0 to 3 are levels 1 to 4 of scale CN5, and only estimates",
    "MTF is family FUND; Stock and Bond are family WEALTH",
    "Sell rows are left out",
)


def import_far_trans(directory: Path) -> ImportedData:
    """Reads the publisher's directory.

    Raises:
        MissingFileError: the directory or one of the three files is not there.
        SchemaError: a file lacks a column.
    """
    if not directory.is_dir():
        raise MissingFileError(f"far-trans: expected a directory at {directory}, found none")
    products, asset_estimates, asset_counts = _read_assets(directory)
    profiles, customer_estimates, customer_counts = _read_customers(directory)
    interactions, trades, trade_counts = _read_trades(directory)
    assets: list[Any] = products.table.column("id").to_pylist()
    user_ids: list[Any] = profiles.table.column("user_id").to_pylist()
    levels = dict(zip(assets, asset_estimates["level_issuer"].to_pylist(), strict=True))
    holdings = estimate_holdings(user_ids, trades, levels)
    source = DataSource(
        name="far-trans",
        simulated=False,
        licence="CC BY 4.0",
        attribution=ATTRIBUTION,
        clock=CLOCK,
        notes=NOTES,
        counts={**asset_counts, **customer_counts, **trade_counts},
    )
    estimates = {"products": asset_estimates, "profiles": customer_estimates | holdings}
    return ImportedData(interactions, products, profiles, source, estimates)


def _read_customers(directory: Path) -> tuple[RawTable, dict[str, Any], dict[str, int]]:
    columns = (
        "customerID",
        "customerType",
        "riskLevel",
        "investmentCapacity",
        "lastQuestionnaireDate",
        "timestamp",
    )
    raw, rows, malformed = _latest_rows(directory / "customer_information.csv", "customerID", columns)
    stated = raw.column("riskLevel").to_pylist()
    known = {*RISK_LEVELS, *PREDICTED_LEVELS, "Not_Available", None}
    odd = np.flatnonzero(np.array([value not in known for value in stated], dtype=bool))
    asked = raw.column("lastQuestionnaireDate").combine_chunks()
    filler = pc.fill_null(pc.equal(asked, FILLER_DATE), False)
    assessed, odd_dates = parse_text(pc.if_else(filler, pa.scalar(None, pa.string()), asked), Kind.DATE)
    as_of, odd_times = _parse_days(raw.column("timestamp").combine_chunks())
    table = from_columns(
        PROFILES,
        {
            "user_id": raw.column("customerID"),
            "risk_level": [RISK_LEVELS.get(str(value)) for value in stated],
            "assessed_on": assessed,
            "profile_as_of": as_of,
        },
    ).table
    faults = _faults(("risk_level", odd), ("assessed_on", odd_dates), ("profile_as_of", odd_times))
    predicted = [PREDICTED_LEVELS.get(str(value)) for value in stated]
    estimates = estimate_customers(
        [RISK_LEVELS.get(str(value), level) for value, level in zip(stated, predicted, strict=True)],
        raw.column("customerType").to_pylist(),
        raw.column("investmentCapacity").to_pylist(),
    )
    estimates["risk_level"] = pa.array(predicted, pa.int64())
    counts = {
        "customers": raw.num_rows,
        "customers_with_predicted_level_only": sum(level is not None for level in predicted),
        "questionnaire_dates_unknown": int(pc.sum(filler).as_py() or 0),
    }
    return RawTable(PROFILES, table, raw, rows, faults, malformed), estimates, counts


def _read_assets(directory: Path) -> tuple[RawTable, dict[str, Any], dict[str, int]]:
    columns = ("ISIN", "assetName", "assetShortName", "assetCategory", "assetSubCategory", "timestamp")
    raw, rows, malformed = _latest_rows(directory / "asset_information.csv", "ISIN", columns)
    categories: list[Any] = raw.column("assetCategory").to_pylist()
    subcategories: list[Any] = raw.column("assetSubCategory").to_pylist()
    odd = np.flatnonzero(np.array([value not in FAMILIES for value in categories], dtype=bool))
    optional = [raw.column(name).to_pylist() for name in ("sector", "industry") if name in raw.column_names]
    risks, counts = _compute_risks(directory, raw.column("ISIN").to_pylist())
    table = from_columns(
        PRODUCTS,
        {
            "id": raw.column("ISIN"),
            "title": raw.column("assetName"),
            "title_alternate": raw.column("assetShortName"),
            "category": [" ".join(filter(None, pair)) or None
                         for pair in zip(categories, subcategories, strict=True)],
            "tags": [[value for value in row if value] for row in zip(*optional, strict=True)] or None,
            "family": [FAMILIES.get(str(category)) for category in categories],
            **risks,
        },
    ).table  # fmt: skip
    levels = _band_levels(directory, raw.column("ISIN").to_pylist(), categories, subcategories)
    estimates = estimate_assets([*zip(categories, subcategories, strict=True)])
    estimates |= {"level_issuer": levels, "level_distributor": levels}
    source = RawTable(PRODUCTS, table, raw, rows, _faults(("family", odd)), malformed)
    return source, estimates, {"assets": table.num_rows, **counts}


def _compute_risks(directory: Path, ids: list[Any]) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """Returns the columns that tell each asset's computed class, and counts; none where no price is known."""
    path = directory / "close_prices.csv"
    if not path.is_file():
        return {}, {}
    names = ("ISIN", "timestamp", "closePrice")
    raw, malformed, total = read_csv_text(path, names)
    columns = (raw.column(name).to_pylist() for name in names)
    prices, odd_count = collect_prices(zip(*columns, strict=True))
    until = date.fromisoformat(CLOCK[:10])
    found = [compute_risk(prices.get(id_, {}), until) for id_ in ids]
    columns_of_risk: dict[str, list[Any]] = {
        "computed_risk_class": [None if risk is None else risk.risk_class for risk in found],
        "risk_formula": [None if risk is None else FORMULA for risk in found],
        "risk_inputs": [None if risk is None else risk.inputs() for risk in found],
    }
    counts = {
        "price_rows": total,
        "price_rows_left_out": odd_count + len(malformed),
        "assets_with_computed_risk": sum(risk is not None for risk in found),
    }
    return columns_of_risk, counts


def _band_levels(directory: Path, ids: list[Any], categories: list[Any], subcategories: list[Any]) -> Any:
    """Returns the estimated level 1..4 per asset, missing where the band is not known."""
    path = directory / "asset_risk_bands.csv"
    if path.is_file():
        bands = read_csv_text(path, ("ISIN", "risk_band"))[0]
        pairs = zip(bands.column("ISIN").to_pylist(), bands.column("risk_band").to_pylist(), strict=True)
        by_id = {id_: BAND_LEVELS.get(str(band)) for id_, band in pairs}
        levels = [by_id.get(id_) for id_ in ids]
    else:
        found = [BANDS_BY_SUBCATEGORY.get(pair) for pair in zip(categories, subcategories, strict=True)]
        levels = [None if band is None else band + 1 for band in found]
    return pa.array(levels, pa.int64())


def _read_trades(directory: Path) -> tuple[RawTable, list[tuple[str, str, int]], dict[str, int]]:
    columns = ("customerID", "ISIN", "transactionType", "timestamp", "totalValue")
    raw, malformed, total = read_csv_text(directory / "transactions.csv", columns)
    trades = _list_trades(raw)
    rows = _row_numbers(total, malformed)
    sells = pc.fill_null(pc.equal(raw.column("transactionType"), "Sell"), False).combine_chunks()
    kept = ~sells.to_numpy(zero_copy_only=False)
    raw, rows = raw.filter(pa.array(kept)), rows[kept]
    kinds = raw.column("transactionType").combine_chunks()
    # A type other than Buy is passed on as it is, so that the checks name it as an unknown event type.
    events = pc.if_else(pc.fill_null(pc.equal(kinds, "Buy"), False), pa.scalar("purchase"), kinds)
    times, odd = _parse_days(raw.column("timestamp").combine_chunks())
    table = from_columns(
        INTERACTIONS,
        {
            "user_id": raw.column("customerID"),
            "product_id": raw.column("ISIN"),
            "event_type": events,
            "event_time": times,
        },
    ).table
    counts = {"buy_rows": int(kept.sum()), "sell_rows_left_out": int((~kept).sum())}
    return RawTable(INTERACTIONS, table, raw, rows, _faults(("event_time", odd)), malformed), trades, counts


def _list_trades(raw: pa.Table) -> list[tuple[str, str, int]]:
    """Lists customer, asset and amount in cents, negative for sales; ORDER where no amount is stated."""
    names = ("customerID", "ISIN", "transactionType", "totalValue", "timestamp")
    trades = []
    for user_id, asset, kind, value, day in zip(*(raw.column(n).to_pylist() for n in names), strict=True):
        if None in (user_id, asset, day) or kind not in {"Buy", "Sell"} or day > CLOCK[:10]:
            continue
        stated = value is not None and AMOUNT_PATTERN.match(value)
        amount = round(float(value) * 100) if stated else ORDER
        trades.append((user_id, asset, amount if kind == "Buy" else -amount))
    return trades


def _latest_rows(
    path: Path, key: str, columns: tuple[str, ...]
) -> tuple[pa.Table, npt.NDArray[np.int64], tuple[tuple[int, str], ...]]:
    """Returns the latest dated row of every id, in order of first appearance; row numbers; malformed rows."""
    raw, malformed, total = read_csv_text(path, columns)
    rows = _row_numbers(total, malformed)
    latest: dict[Any, tuple[str, int]] = {}
    pairs = zip(raw.column(key).to_pylist(), raw.column("timestamp").to_pylist(), strict=True)
    for position, (id_, stamp) in enumerate(pairs):
        entry = (stamp or "", position)
        known = position if id_ is None else id_  # Rows without an id stay apart, to be set aside one by one.
        latest[known] = max(latest.get(known, entry), entry)
    positions = np.array([position for _, position in latest.values()], dtype=np.int64)
    chosen: Any = pa.array(positions)
    return raw.take(chosen), rows[positions], malformed


def _row_numbers(total: int, malformed: tuple[tuple[int, str], ...]) -> npt.NDArray[np.int64]:
    bad = np.array([number for number, _ in malformed], dtype=np.int64)
    return np.setdiff1d(np.arange(1, total + 1, dtype=np.int64), bad)


def _parse_days(cells: Any) -> tuple[Any, npt.NDArray[np.int64]]:
    """Parses days and returns them as midnights UTC."""
    days, odd = parse_text(cells, Kind.DATE)
    return days.cast(pa.timestamp("us")).cast(ARROW_TYPES[Kind.INSTANT]), odd


def _faults(*found: tuple[str, npt.NDArray[np.int64]]) -> tuple[Fault, ...]:
    return tuple(Fault(name, positions.astype(np.int64)) for name, positions in found if len(positions))
