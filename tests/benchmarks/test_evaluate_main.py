"""The evaluation's command line: which results it takes again, and what it says of tuning."""

from pathlib import Path

from benchmarks.evaluate.__main__ import TUNED_SPLITS, describe_untuned, name_record
from benchmarks.evaluate.temporal import SplitResult


def test_results_of_other_settings_are_never_taken_for_these(tmp_path: Path) -> None:
    first, second, same = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    first.write_text('{"temperature": 0.1}')
    second.write_text('{"temperature": 0.3}')
    same.write_text(first.read_text())
    names = {name_record(3, "mf", settings) for settings in (None, first, second)}
    assert len(names) == 3
    assert name_record(3, "mf", same) == name_record(3, "mf", first)


def test_splits_that_settings_were_chosen_on_are_left_out_of_the_second_mean() -> None:
    tuned = SplitResult(split=TUNED_SPLITS[0], user_count=1, ndcg_at_10=0.9, recall_at_10=0.9)
    other = SplitResult(split=7, user_count=1, ndcg_at_10=0.25, recall_at_10=0.5)
    text = describe_untuned({"mf": [tuned, other], "two_tower": [tuned]})
    assert text.endswith("without them: mf 0.2500, two_tower -")
