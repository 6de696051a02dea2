"""The picture of the dashboard: every panel is drawn in its place, of what its own questions are answered."""

from pathlib import Path

import pytest

from benchmarks.dashboard.__main__ import DASHBOARD, RULES
from benchmarks.dashboard.drawing import draw, name_line, read_panels
from benchmarks.dashboard.prometheus import Series, run_prometheus
from benchmarks.errors import BenchmarkInputError


def test_every_panel_asks_its_own_questions_and_says_if_nothing_came(tmp_path: Path) -> None:
    panels = read_panels(DASHBOARD)
    asked: list[str] = []

    def ask(expression: str) -> list[Series]:
        asked.append(expression)
        return [] if "recall" in expression else [Series({"method": "m"}, (100.0, 101.0), (1.0, 2.0))]

    empty = draw(panels, ask, 100.0, "a title", tmp_path / "picture.png")
    assert empty == ["Recall of live answers"]
    assert asked == [expression for panel in panels for expression, _ in panel.targets]
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_panels_lie_within_the_grid_and_not_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in read_panels(DASHBOARD):
        cells = {
            (column, row)
            for column in range(panel.column, panel.column + panel.width)
            for row in range(panel.row, panel.row + panel.height)
        }
        assert panel.column + panel.width <= 24
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{{method}}", "RecommendationService/Recommend"),
        ("{{ method }} {{code}}", "RecommendationService/Recommend OK"),
        ("p99", "p99"),
        ("{{absent}}", "all"),
    ],
)
def test_a_line_has_the_name_that_grafana_gives_it(template: str, name: str) -> None:
    assert (
        name_line(template, {"method": "/prudence.v1.RecommendationService/Recommend", "code": "OK"}) == name
    )


def test_a_machine_without_prometheus_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(BenchmarkInputError, match="apt-get install prometheus"),
        run_prometheus(tmp_path, "127.0.0.1:1", RULES),
    ):
        raise AssertionError("there is no such program")
