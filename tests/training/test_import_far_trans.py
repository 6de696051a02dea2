"""The FAR-Trans importer, on invented rows in the publisher's layout and on the real files where present."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet
import pytest

from training.assume import apply_assumptions, read_assumptions
from training.data_commands import main
from training.dataset import parse_clock, read_source
from training.errors import MissingFileError, SchemaError
from training.importers.far_trans import import_far_trans
from training.importers.far_trans_estimates import estimate_assets, estimate_customers, estimate_holdings
from training.quality import check_data

ROOT = Path(__file__).parents[2]
ASSUMPTIONS = ROOT / "assumptions" / "far-trans.json"
REAL = ROOT.parent / "shared" / "data" / "far-trans"

CUSTOMERS = """customerID,customerType,riskLevel,investmentCapacity,lastQuestionnaireDate,timestamp
AAA,Mass,Balanced,CAP_LT30K,2018-05-01,2018-06-01
AAA,Mass,Income,CAP_LT30K,2022-05-01,2022-06-01
BBB,Premium,Predicted_Aggressive,Predicted_CAP_80K_300K,2000-01-01,2019-01-02
CCC,Inactive,Not_Available,Not_Available,2000-01-01,2018-01-02
DDD,Mass,Conservative,CAP_LT30K,2021-11-29,2021-11-30
"""
ASSETS = """ISIN,assetName,assetShortName,assetCategory,assetSubCategory,marketID,sector,industry,timestamp
GR01,"FUND ONE, MIXED",F1,MTF,Balanced,AEDAK,,,2018-01-02
GR02,STOCK TWO,S2,Stock,,XATH,Energy,Oil,2018-01-02
GR03,BOND THREE,B3,Bond,Government,XATH,,,2018-01-02
GR03,BOND THREE RENAMED,B3,Bond,Corporate,XATH,,,2019-01-02
"""
TRADES = """customerID,ISIN,transactionID,transactionType,timestamp,totalValue,units,channel,marketID
AAA,GR01,1,Buy,2019-07-31,,,,
AAA,GR01,2,Buy,2019-07-31,,,,
AAA,GR02,3,Buy,2020-01-15,100.5,3,Internet Banking,XATH
BBB,GR03,4,Sell,2020-02-01,,,,
BBB,GR03,5,Buy,2020-01-01,,,,
BBB,GR99,6,Buy,2020-01-01,,,,
DDD,GR01,7,Swap,2020-01-01,,,,
DDD,GR01,8,Buy,2023-01-01,,,,
"""
BANDS = """ISIN,risk_band,source
GR01,2,metadata
GR02,3,inferred
GR03,,unknown
"""


def write_far_trans(folder, *, bands=True):
    """Writes the publisher's files, with or without the derived asset bands."""
    folder.mkdir(exist_ok=True)
    (folder / "customer_information.csv").write_text(CUSTOMERS, encoding="utf-8")
    (folder / "asset_information.csv").write_text(ASSETS, encoding="utf-8")
    (folder / "transactions.csv").write_text(TRADES, encoding="utf-8")
    if bands:
        (folder / "asset_risk_bands.csv").write_text(BANDS, encoding="utf-8")
    return folder


def check(imported):
    return check_data(
        interactions=imported.interactions,
        products=imported.products,
        profiles=imported.profiles,
        clock=parse_clock(imported.source.clock),
    )


@pytest.fixture
def imported(tmp_path):
    return import_far_trans(write_far_trans(tmp_path / "far-trans"))


@pytest.fixture
def assumed(imported):
    assumptions = read_assumptions(ASSUMPTIONS)
    return apply_assumptions(imported, assumptions, parse_clock(imported.source.clock))


def rows(raw, key):
    return {row[key]: row for row in raw.table.to_pylist()}


def test_the_latest_dated_row_counts(imported):
    assert rows(imported.profiles, "user_id")["AAA"]["risk_level"] == 2
    assert rows(imported.products, "id")["GR03"]["title"] == "BOND THREE RENAMED"
    assert imported.source.counts["customers"] == 4
    assert imported.source.counts["assets"] == 3


def test_risk_levels_are_those_stated_and_predictions_stay_estimates(imported):
    levels = {id_: row["risk_level"] for id_, row in rows(imported.profiles, "user_id").items()}
    assert levels == {"AAA": 2, "BBB": None, "CCC": None, "DDD": 1}
    assert imported.estimates["profiles"]["risk_level"].to_pylist() == [None, 4, None, None]


def test_questionnaire_dates_are_kept_except_the_filler(imported):
    profiles = rows(imported.profiles, "user_id")
    assert profiles["AAA"]["assessed_on"] == date(2022, 5, 1)
    assert profiles["BBB"]["assessed_on"] is None
    assert profiles["AAA"]["profile_as_of"] == datetime(2022, 6, 1, tzinfo=UTC)
    assert imported.source.counts["questionnaire_dates_unknown"] == 2


def test_assets_map_to_families_and_state_no_level(imported):
    products = rows(imported.products, "id")
    assert [products[id_]["family"] for id_ in ("GR01", "GR02", "GR03")] == ["FUND", "WEALTH", "WEALTH"]
    assert products["GR01"]["title"] == "FUND ONE, MIXED"
    assert products["GR02"]["tags"] == ["Energy", "Oil"]
    assert {row["level_issuer"] for row in products.values()} == {None}


def test_bands_come_from_the_derived_file(imported):
    assert imported.estimates["products"]["level_issuer"].to_pylist() == [3, 4, None]


def test_bands_come_from_the_sub_category_in_the_publishers_own_download(tmp_path):
    found = import_far_trans(write_far_trans(tmp_path / "far-trans", bands=False))
    assert found.estimates["products"]["level_issuer"].to_pylist() == [3, None, 2]


def test_buys_become_purchases_and_everything_else_is_counted(imported):
    checked = check(imported)
    events = checked.interactions.table.to_pylist()
    assert [(row["user_id"], row["product_id"], row["event_type"]) for row in events] == [
        ("AAA", "GR01", "purchase"),
        ("AAA", "GR02", "purchase"),
        ("BBB", "GR03", "purchase"),
    ]
    assert events[0]["event_time"] == datetime(2019, 7, 31, tzinfo=UTC)
    assert imported.source.counts["sell_rows_left_out"] == 1
    assert checked.interactions.quality.duplicates_collapsed == 1
    assert [(p.row, p.reason.value) for p in checked.problems] == [
        (6, "unknown_product"),
        (7, "unknown_value"),
        (8, "after_clock"),
    ]


def test_an_unknown_risk_level_sets_the_customer_aside(tmp_path):
    folder = write_far_trans(tmp_path / "far-trans")
    path = folder / "customer_information.csv"
    path.write_text(CUSTOMERS.replace("Conservative", "Reckless"), encoding="utf-8")
    checked = check(import_far_trans(folder))
    problem = checked.profiles.problems[0]
    assert (problem.row, problem.field, problem.reason.value) == (5, "risk_level", "wrong_type")
    assert "Reckless" in problem.raw


def test_strict_rows_assume_nothing(imported):
    checked = check(imported)
    for table in (checked.products.table, checked.profiles.table):
        assert {tuple(names) for names in table.column("assumed").to_pylist()} == {()}
    assert imported.source.assumed == {"products": {}, "profiles": {}}


def test_assumptions_mark_and_count_each_filled_field(assumed):
    profiles = rows(assumed.profiles, "user_id")
    assert profiles["BBB"]["risk_level"] == 4
    assert "risk_level" in profiles["BBB"]["assumed"]
    assert "risk_level" not in profiles["AAA"]["assumed"]
    assert profiles["CCC"]["risk_level"] is None
    assert assumed.source.assumed["profiles"]["risk_level"] == 1
    products = rows(assumed.products, "id")
    assert (products["GR01"]["level_issuer"], products["GR01"]["level_distributor"]) == (3, 3)
    assert products["GR03"]["level_issuer"] is None
    assert "level_issuer" not in products["GR03"]["assumed"]
    assert assumed.source.assumed["products"]["level_issuer"] == 2
    assert products["GR02"]["registration_code"] == "GR02"
    assert check(assumed).products.problems == ()


def test_assumptions_reconfirm_only_what_has_expired(assumed):
    profiles = rows(assumed.profiles, "user_id")
    assert profiles["AAA"]["assessed_on"] == date(2022, 5, 1)
    assert "assessed_on" not in profiles["AAA"]["assumed"]
    # Twelve months to the day is expired.
    assert profiles["DDD"]["assessed_on"] == date(2022, 11, 28)
    assert "assessed_on" in profiles["DDD"]["assumed"]


def test_the_command_writes_a_data_set_with_its_licence(tmp_path, capsys):
    folder = write_far_trans(tmp_path / "far-trans")
    command = ["import", "far-trans", str(folder), str(tmp_path / "data"), "--assume", str(ASSUMPTIONS)]
    assert main(command) == 0
    assert "assumed: profiles.risk_level in 1 rows" in capsys.readouterr().out
    source = read_source(tmp_path / "data")
    assert (source.licence, source.clock) == ("CC BY 4.0", "2022-11-29T00:00:00Z")
    assert "10.5525/gla.researchdata.1658" in source.attribution
    assert pyarrow.parquet.read_table(tmp_path / "data" / "products.parquet").num_rows == 3


def test_what_the_kind_of_an_asset_suggests_is_an_estimate_and_not_stated(imported, assumed):
    assert {row["loss_class"] for row in rows(imported.products, "id").values()} == {None}
    products = rows(assumed.products, "id")
    # A balanced fund, a stock and, in the row that counts, a corporate bond.
    assert [products[id_]["loss_class"] for id_ in ("GR01", "GR02", "GR03")] == [1, 2, 2]
    assert [products[id_]["min_amount"] for id_ in ("GR01", "GR02", "GR03")] == [10_000, 10_000, 100_000]
    assert products["GR02"]["objectives_n"] == ["preserve"]
    assert {"loss_class", "min_amount", "objectives_n"} <= set(products["GR02"]["assumed"])


def test_an_unknown_kind_of_asset_has_no_estimate():
    found = estimate_assets([("MTF", "Structured"), ("MTF", "Money Market"), ("Boat", None)])
    assert found["loss_class"].to_pylist() == [None, 1, None]
    assert found["objectives_y"].to_pylist() == [None, ["preserve", "income"], None]


def test_money_at_hand_is_the_lower_end_of_the_band_of_investment_capacity(assumed):
    liquid = {id_: row["liquid"] for id_, row in rows(assumed.profiles, "user_id").items()}
    assert liquid == {"AAA": 1_000_000, "BBB": 8_000_000, "CCC": None, "DDD": 1_000_000}


def test_only_natural_persons_are_assumed_to_have_capacity():
    found = estimate_customers([1] * 3, ["Professional", "Legal Entity", "Inactive"], [None] * 3)
    assert found["capacity"].to_pylist() == ["FULL", None, None]


def test_a_sole_proprietor_is_no_professional_client(tmp_path):
    folder = write_far_trans(tmp_path / "far-trans")
    path = folder / "customer_information.csv"
    path.write_text(CUSTOMERS.replace("Mass", "Professional"), encoding="utf-8")
    profiles = rows(import_far_trans(folder).profiles, "user_id")
    assert {row["client_type"] for row in profiles.values()} == {None}


def test_a_predicted_risk_level_suggests_as_much_as_a_stated_one(assumed):
    profiles = rows(assumed.profiles, "user_id")
    assert profiles["BBB"]["objectives"] == ["income", "growth", "speculate"]
    assert (profiles["DDD"]["loss_capacity"], profiles["DDD"]["max_loss_bps"]) == (1, 1_500)
    assert profiles["CCC"]["objectives"] is None


def test_holdings_are_purchases_less_sales_at_cost(assumed):
    held = {id_: dict(row["held_issuer"]) for id_, row in rows(assumed.profiles, "user_id").items()}
    # Two purchases without an amount count as 1,000 euros each; the stated one is 100.50 euros.
    assert held["AAA"] == {"GR01": 200_000, "GR02": 10_050}
    # A sale and a purchase of unknown amounts, an asset that nobody knows; a purchase after the clock.
    assert held["BBB"] == {"GR99": 100_000}
    assert held["DDD"] == {}


def test_holdings_of_high_and_of_unknown_level_count_as_high_risk():
    trades = [("u", "high", 5), ("u", "unknown", 7), ("u", "low", 11), ("v", "high", 3), ("v", "high", -4)]
    found = estimate_holdings(["u", "v", "w"], trades, {"high": 4, "unknown": None, "low": 1})
    assert found["held_high_risk"].to_pylist() == [12, 0, 0]
    assert found["held_issuer"].to_pylist()[1:] == [[], []]


def test_every_assumption_has_a_reason_and_fills_something(assumed):
    counts = assumed.source.assumed
    assert all(counts["products"].values())
    assert all(counts["profiles"].values())


@pytest.mark.parametrize("name", ["customer_information.csv", "asset_information.csv", "transactions.csv"])
def test_a_missing_file_is_named_and_nothing_is_written(tmp_path, capsys, name):
    folder = write_far_trans(tmp_path / "far-trans")
    (folder / name).unlink()
    assert main(["import", "far-trans", str(folder), str(tmp_path / "data")]) == 1
    assert name in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(MissingFileError, match="nowhere"):
        import_far_trans(tmp_path / "nowhere")


def test_a_missing_column_is_named(tmp_path):
    folder = write_far_trans(tmp_path / "far-trans")
    (folder / "transactions.csv").write_text("customerID,ISIN\nAAA,GR01\n", encoding="utf-8")
    with pytest.raises(SchemaError, match="transactionType"):
        import_far_trans(folder)


# Larger data beside the repository, where it was put there; elsewhere there is no such test to skip.
if REAL.is_dir():

    def test_the_published_files_import_whole():
        found = import_far_trans(REAL)
        checked = check(found)
        assert checked.problems == ()
        assert (checked.profiles.table.num_rows, checked.products.table.num_rows) == (29_090, 806)
        assert found.source.counts["customers_with_predicted_level_only"] == 7_141


def write_prices(folder, *, asset="GR02", count=900, swing=0.02):
    """Writes prices that go up and down by turns, the last one after the data's end."""
    first = date(2020, 6, 15)
    rows = [
        f"{asset},{first + timedelta(days=place)},{100 * (1 + swing * (place % 2))}" for place in range(count)
    ]
    rows += [f"{asset},2020-06-15,0", f"{asset},2022-12-24,1", "GR01,2022-01-03,1.0"]
    text = "\n".join(["ISIN,timestamp,closePrice", *rows])
    (folder / "close_prices.csv").write_text(text + "\n", encoding="utf-8")


def test_prices_give_a_class_with_its_inputs_and_change_nothing_else(tmp_path, imported):
    folder = write_far_trans(tmp_path / "priced")
    write_prices(folder)
    priced = import_far_trans(folder)
    table, before = priced.products.table, imported.products.table
    added = {"computed_risk_class", "risk_formula", "risk_inputs"}
    assert table.drop_columns(sorted(added)) == before.drop_columns(["computed_risk_class"])
    rows = {row["id"]: row for row in table.to_pylist()}
    assert (rows["GR02"]["computed_risk_class"], rows["GR02"]["risk_formula"]) == (6, "mrm-cornish-fisher/1")
    inputs = json.loads(rows["GR02"]["risk_inputs"])
    assert inputs["first_day"] == "2020-06-15"
    assert inputs["last_day"] <= "2022-11-29"
    assert {rows["GR01"][name] for name in added} == {rows["GR03"][name] for name in added} == {None}
    counts = priced.source.counts
    assert counts["price_rows_left_out"] == counts["assets_with_computed_risk"] == 1
    assert check(priced).products.quality.rows_kept == 3


def test_without_prices_nothing_is_computed(imported):
    assert imported.products.table.column("computed_risk_class").null_count == 3
    assert "risk_inputs" not in imported.products.table.column_names
