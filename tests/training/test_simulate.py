"""The simulated platform: repeatable bytes, sizes, shape of behaviour, gaps, personas, the known truth."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc
import pytest

from suitability import default_policy_path, evaluate, load_policy
from training.data_commands import main
from training.dataset import read_source
from training.errors import SettingError
from training.quality import check_data
from training.simulate.platform import describe_simulation, simulate
from training.simulate.settings import SimulationSettings

CLOCK = datetime(2026, 11, 22, tzinfo=UTC)
SMALL = {"users": 600, "courses": 150, "products": 200}
SETTINGS = SimulationSettings(clock=CLOCK, **SMALL)
ASSESSMENT_CODES = {
    "USR_ASSESSMENT_MISSING",
    "USR_ASSESSMENT_EXPIRED",
    "USR_CHANGE_REPORTED",
    "USR_LEVEL_UNCONFIRMED",
    "USR_ASSESSMENT_TOO_MANY",
}


def ignore(_count):
    """Takes progress and shows none."""


def check(drawn):
    return check_data(
        interactions=drawn.interactions, products=drawn.products, profiles=drawn.profiles, clock=CLOCK
    )


@pytest.fixture(scope="module")
def truth():
    return np.load(io.BytesIO(simulate(SETTINGS, ignore).truth))


@pytest.fixture(scope="module")
def checked():
    return check(simulate(SETTINGS, ignore))


def run(out, *options):
    sizes = ["--users", "40", "--courses", "30", "--products", "20"]
    return main(["simulate", str(out), "--clock", "2026-11-22T00:00:00Z", *sizes, *options])


def test_the_same_seed_and_clock_give_the_same_bytes(tmp_path):
    assert run(tmp_path / "a") == 0
    assert run(tmp_path / "b") == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert "truth.npz" in names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_another_seed_gives_other_events(tmp_path):
    assert run(tmp_path / "a") == 0
    assert run(tmp_path / "b", "--seed", "2") == 0
    files = [(tmp_path / name / "interactions.parquet").read_bytes() for name in ("a", "b")]
    assert files[0] != files[1]


def test_what_is_simulated_says_so(tmp_path, capsys):
    assert run(tmp_path / "data") == 0
    source = read_source(tmp_path / "data")
    assert source.simulated
    assert source.clock == "2026-11-22T00:00:00Z"
    assert "simulated" in capsys.readouterr().out


def test_nothing_is_set_aside(checked):
    assert checked.problems == ()


def test_the_catalogue_has_the_stated_sizes_and_ids(checked):
    products = checked.products.table
    families = np.array(products.column("family").to_pylist())
    ids = products.column("id").to_pylist()
    assert (families == "COURSE").sum() == SMALL["courses"]
    assert len(ids) == SMALL["courses"] + SMALL["products"]
    for id_, family in zip(ids, families, strict=True):
        assert id_[0] == {"C": "C", "I": "I"}.get(family[0], "F")


def test_events_lie_in_the_twelve_months_before_the_clock(checked):
    times = checked.interactions.table.column("event_time")
    assert pc.max(times).as_py() < CLOCK
    assert pc.min(times).as_py() >= datetime(2025, 11, 22, tzinfo=UTC)


def test_activity_has_a_median_near_25_and_silent_users(checked):
    counts = pc.value_counts(checked.interactions.table.column("user_id"))
    events = np.zeros(SMALL["users"])
    events[: len(counts)] = [entry["counts"] for entry in counts.to_pylist()]
    # Wide enough for 600 users; 20,000 users give 24.
    assert 18 <= np.median(events) <= 32
    assert (events == 0).sum() > 0
    assert (events <= 3).mean() < 0.15
    assert events.max() > 150


def test_every_event_type_occurs(checked):
    kinds = set(checked.interactions.table.column("event_type").to_pylist())
    assert len(kinds) == 9


def test_a_user_enrols_once_in_a_course(checked):
    table = checked.interactions.table
    enrolled = table.filter(pc.equal(table.column("event_type"), "enrol"))
    pairs = set(
        zip(enrolled.column("user_id").to_pylist(), enrolled.column("product_id").to_pylist(), strict=True)
    )
    assert len(pairs) == enrolled.num_rows


def test_popular_products_draw_most_attention(checked):
    counts = pc.value_counts(checked.interactions.table.column("product_id"))
    events = np.sort([entry["counts"] for entry in counts.to_pylist()])[::-1]
    assert events[: len(events) // 10].sum() > 0.3 * events.sum()


def test_titles_are_bilingual_and_distinct(checked):
    products = checked.products.table
    titles = products.column("title").to_pylist()
    assert len(set(titles)) == len(titles)
    for title in products.column("title_alternate").to_pylist():
        assert any("\u4e00" <= letter <= "\u9fff" for letter in title)


def test_the_catalogue_has_the_flaws_a_gate_must_catch(checked):
    rows = [row for row in checked.products.table.to_pylist() if row["family"] != "COURSE"]
    assert any(row["status"] not in {"ON_SALE", None} for row in rows)
    assert any(row["registration_code"] is None for row in rows)
    assert any(row["sale_end"] is not None and row["sale_end"] < CLOCK for row in rows)
    assert any(row["licence_until"] is not None and row["licence_until"] < CLOCK for row in rows)
    assert any(row["offering"] == "PRIVATE" for row in rows)
    levels = [(row["level_issuer"], row["level_distributor"]) for row in rows]
    assert any(None in pair for pair in levels)
    assert any(None not in pair and pair[0] != pair[1] for pair in levels)
    assert {row["scale"] for row in rows} >= {"CN5", "SRI7"}
    scores = [row["risk_score"] for row in rows]
    assert 0.3 < sum(score is None for score in scores) / len(scores) < 0.7


def test_courses_carry_no_financial_fields(checked):
    course = checked.products.table.to_pylist()[0]
    for field in ("level_issuer", "level_distributor", "risk_score", "registration_code", "licence_until"):
        assert course[field] is None


def test_profiles_have_the_flaws_a_gate_must_catch(checked):
    rows = checked.profiles.table.to_pylist()
    assert len(rows) < SMALL["users"]
    assert {row["risk_level"] for row in rows} == {None, 0, 1, 2, 3, 4, 5}
    year_ago = datetime(2025, 11, 22, tzinfo=UTC).date()
    assert any(row["assessed_on"] is not None and row["assessed_on"] <= year_ago for row in rows)
    assert any(row["level_changed"] and row["level_confirmed"] is False for row in rows)
    assert any(row["consent_sensitive"] is False for row in rows)
    assert any(row["blocked"] for row in rows)


def judge(drawn, *, product_count):
    """Judges every user on some of the financial products, other ones for each; gives id and verdicts."""
    products = [row for row in drawn.products.table.to_pylist() if row["family"] != "COURSE"]
    policy = load_policy(default_policy_path())
    found = {}
    for place, row in enumerate(drawn.profiles.table.to_pylist()):
        maps = {name: dict(row[name]) for name in ("knowledge", "held_issuer") if row[name] is not None}
        user = row | maps | {"pseudonym": b"u"}
        some = [products[(place + step) % len(products)] for step in range(product_count)]
        found[row["user_id"]] = [evaluate(user, product, policy, CLOCK, "app") for product in some]
    return found


@pytest.fixture(scope="module")
def judged():
    """Judges 42 users on all of 600 products."""
    settings = SimulationSettings(clock=CLOCK, users=42, courses=5, products=600)
    return judge(check(simulate(settings, ignore)), product_count=600)


def test_most_users_with_a_valid_assessment_may_see_ten_financial_products_or_more(judged):
    valid = [found for found in judged.values() if not ASSESSMENT_CODES & frozenset().union(*found)]
    counts = [sum(not verdict for verdict in found) for found in valid]
    assert len(counts) > 20
    assert np.mean(np.array(counts) >= 10) >= 0.6


def test_a_fair_share_of_pairs_is_eligible(judged):
    eligible = np.mean([not verdict for found in judged.values() for verdict in found])
    assert 0.05 <= eligible <= 0.4


def test_every_rule_removes_something(checked):
    found = judge(checked, product_count=15)
    codes = {code for verdicts in found.values() for verdict in verdicts for code in verdict}
    # One of each predicate from 1 on; predicate 0 is about the clock and the policy, not about the data.
    assert codes >= {
        "PRD_NOT_ON_SALE",
        "PRD_OUTSIDE_WINDOW",
        "PRD_CHANNEL_NOT_PERMITTED",
        "PRD_NOT_PUBLIC_OFFER",
        "PRD_CAPACITY_EXHAUSTED",
        "USR_CONSENT_MISSING",
        "USR_PROFILE_STALE",
        "MAT_LIMITED_CAPACITY_LEVEL",
        "USR_ASSESSMENT_EXPIRED",
        "MAT_LEVEL_OVER_TOLERANCE",
        "MAT_CLIENT_TYPE_NEUTRAL",
        "MAT_KNOWLEDGE",
        "MAT_LOSS_CAPACITY",
        "MAT_HORIZON",
        "MAT_AGE_ABOVE_MAX",
        "MAT_ELDER_PROTECTION",
        "MAT_VULNERABLE_PROTECTION",
        "MAT_JURISDICTION",
        "MAT_CURRENCY",
        "MAT_AFFORDABILITY",
        "MAT_ISSUER_CONCENTRATION",
        "MAT_NEGATIVE_TARGET_MARKET",
        "MAT_NEEDS",
        "MAT_PREMIUM_BUDGET",
        "MAT_RISK_SCORE_OVER_LIMIT",
    }


def test_both_personas_may_see_many_products(judged):
    for persona in ("U000000", "U000001"):
        assert sum(not verdict for verdict in judged[persona]) >= 50


def test_the_personas_share_tastes_and_differ_in_tolerance(checked, truth):
    rows = {row["user_id"]: row for row in checked.profiles.table.to_pylist()}
    cautious, bold = (
        rows[describe_simulation(SETTINGS, checked).personas[name]] for name in ("cautious", "bold")
    )
    assert (cautious["risk_level"], bold["risk_level"]) == (2, 5)
    assert None not in {value for name, value in cautious.items() if isinstance(value, bool | int)}
    np.testing.assert_array_equal(truth["financial_taste"][0], truth["financial_taste"][1])
    np.testing.assert_array_equal(truth["learning_taste"][0], truth["learning_taste"][1])


@pytest.mark.parametrize("correlation", [0.0, 0.7, -1.0])
def test_tastes_are_correlated_over_domains_as_asked(correlation):
    settings = SimulationSettings(clock=CLOCK, taste_correlation=correlation, **SMALL)
    truth = np.load(io.BytesIO(simulate(settings, ignore).truth))
    found = np.corrcoef(truth["learning_taste"].ravel(), truth["financial_taste"].ravel())[0, 1]
    # 9,600 pairs: three standard errors of a correlation are about .03.
    assert abs(found - correlation) < 0.04
    assert truth["taste_correlation"] == correlation


def test_behaviour_follows_taste(checked, truth):
    table = checked.interactions.table
    users = np.array([int(id_[1:]) for id_ in table.column("user_id").to_pylist()])
    ids = table.column("product_id").to_pylist()
    course = np.array([id_[0] == "C" for id_ in ids])
    rows = np.array([int(id_[1:]) for id_ in ids])[course]
    liking = truth["learning_taste"] @ truth["course_positions"].T
    assert liking[users[course], rows].mean() > liking.mean() + 0.5


@pytest.mark.parametrize(("users", "courses", "products"), [(1, 1, 0), (2, 1, 1), (7, 1, 3)])
def test_the_smallest_platforms_work(users, courses, products):
    settings = SimulationSettings(clock=CLOCK, users=users, courses=courses, products=products)
    checked = check(simulate(settings, ignore))
    assert checked.products.table.num_rows == courses + products
    assert checked.interactions.table.num_rows > 0


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"users": 0}, "users"),
        ({"users": 10**7}, "users"),
        ({"courses": 0}, "courses"),
        ({"products": -1}, "products"),
        ({"seed": -1}, "seed"),
        ({"taste_correlation": 1.5}, "taste_correlation"),
        ({"taste_drift": float("nan")}, "taste_drift"),
        ({"embedding_width": -1}, "embedding_width"),
        ({"embedding_noise": float("nan")}, "embedding_noise"),
        ({"clock": datetime(2026, 1, 1)}, "clock"),  # noqa: DTZ001 - a clock without a zone is the point.
    ],
)
def test_a_setting_out_of_range_is_named(changed, named):
    with pytest.raises(SettingError, match=named):
        SimulationSettings(**({"clock": CLOCK} | changed))


def test_a_wrong_size_on_the_command_line_writes_nothing(tmp_path, capsys):
    assert main(["simulate", str(tmp_path / "data"), "--users", "0"]) == 1
    assert "SettingError: users: expected 1 to" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_embeddings_are_near_for_products_that_are_near_in_truth_and_change_nothing_else():
    settings = SimulationSettings(clock=CLOCK, users=20, courses=90, products=40)
    bare = simulate(settings, lambda _: None)
    drawn = simulate(replace(settings, embedding_width=61), lambda _: None)
    column = drawn.products.table.column("embedding").to_pylist()
    assert drawn.products.table.drop_columns(["embedding"]).equals(bare.products.table)
    assert drawn.interactions.table.equals(bare.interactions.table)
    assert drawn.truth == bare.truth
    truth = np.load(io.BytesIO(drawn.truth))
    places = np.concatenate([truth["course_positions"], truth["product_positions"]])
    known = [row for row, vector in enumerate(column) if vector is not None]
    assert 120 <= len(known) < 130
    told = np.array([column[row] for row in known])
    likeness = np.corrcoef((told @ told.T).ravel(), (places[known] @ places[known].T).ravel())[0, 1]
    assert likeness > 0.7


def test_an_existing_target_is_refused_before_any_work(tmp_path, capsys):
    assert main(["simulate", str(tmp_path)]) == 1
    assert "OutputError" in capsys.readouterr().err
