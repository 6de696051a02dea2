"""The page stands alone, is well-formed, and says what it must."""

import io
import re
from xml.etree import ElementTree

from rich.console import Console

from benchmarks.report.curves import make_curves
from benchmarks.report.drawing import draw_overview, render
from benchmarks.report.page import Heading, write_html, write_text
from benchmarks.report.section import Section, Table

PNG = b"\x89PNG"
HEADING = Heading("Report <1>", "SIMULATED & invented", (("data", "a < b"),))


def make_section() -> Section:
    picture = render("dots", 'dots & "lines"', lambda panels: panels[0].plot([1, 2], [3, 4]))
    return Section(
        "part", "Part & parcel", ("One < two.",), (Table("T", ("a", "b"), (("x", "1"),)),), (picture,)
    )


def test_the_page_is_well_formed() -> None:
    page = write_html(HEADING, [make_section()])
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    assert root.findtext("head/title") == "Report <1>"
    assert [one.get("id") for one in root.iter("section")] == ["part"]
    (image,) = root.iter("img")
    assert image.get("alt") == 'dots & "lines"'


def test_the_page_needs_nothing_but_itself() -> None:
    page = write_html(HEADING, [make_section()])
    assert "<script" not in page
    targets = re.findall(r'(?:src|srcset|href)="([^"]*)"', page)
    assert len(targets) == 3
    assert all(target.startswith(("data:image/png;base64,", "#")) for target in targets)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    assert "url(" not in page


def test_the_page_is_made_for_light_and_for_dark() -> None:
    picture = make_section().pictures[0]
    assert picture.light.startswith(PNG)
    assert picture.dark.startswith(PNG)
    assert picture.light != picture.dark
    assert write_html(HEADING, [make_section()]).count("prefers-color-scheme: dark") == 2


def test_the_same_chart_is_the_same_bytes() -> None:
    assert make_section().pictures[0] == make_section().pictures[0]


def test_the_text_says_the_same_and_what_is_simulated_first() -> None:
    file = io.StringIO()
    write_text(HEADING, [make_section()], Console(file=file, width=80))
    lines = file.getvalue().splitlines()
    assert lines[:3] == ["Report <1>", "SIMULATED & invented", "data: a < b"]
    assert "One < two." in lines


def test_an_overview_of_an_odd_number_of_charts_is_drawn() -> None:
    picture = make_section().pictures[0]
    assert draw_overview([picture] * 3, "all").startswith(PNG)


def test_curves_show_every_epoch_of_every_stage() -> None:
    quality = {"ndcg_at_10": 0.25, "recall_at_20": 0.5}
    metrics = {
        "model": "mf",
        "seed": 1,
        "epoch_count": 1,
        "stages": [
            {"name": "search", "epochs": [{"loss": 2.0, "seconds": 1.2, "quality": quality}]},
            {"name": "final", "epochs": [{"loss": 1.5, "seconds": 3.0, "quality": None}]},
        ],
    }
    section = make_curves(metrics)
    assert section.tables[0].rows == (
        ("search", "1", "2.0000", "0.2500", "0.5000", "1"),
        ("final", "1", "1.5000", "-", "-", "3"),
    )
    assert "best after 1 epochs" in section.sentences[0]


def test_curves_of_a_run_without_validation_are_drawn() -> None:
    stage = {"name": "final", "epochs": [{"loss": 1.5, "seconds": 3.0, "quality": None}]}
    metrics = {"model": "svd", "seed": 1, "epoch_count": 1, "stages": [stage]}
    assert make_curves(metrics).pictures[0].light.startswith(PNG)
