"""The MovieLens importer, on small files in the layouts of 1m and 20m."""

import json
from datetime import UTC, datetime

import pytest

from training.data_commands import main
from training.errors import EmptyDataError, MissingFileError, SchemaError
from training.importers.movielens import import_movielens

RATINGS_1M = "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n"
MOVIES_1M = (
    "1193::One Flew Over the Cuckoo's Nest (1975)::Drama\n661::James: and, so on (1996)::Animation|Musical\n"
)
RATINGS_20M = (
    "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,0.5,1112484676\n2,29,5.0,1112484580\n"
)
MOVIES_20M = 'movieId,title,genres\n2,"Cité, La (1995)",Adventure|Fantasy\n29,Untold,(no genres listed)\n'


def write_1m(folder, *, ratings=RATINGS_1M, movies=MOVIES_1M):
    folder.mkdir()
    (folder / "ratings.dat").write_text(ratings, encoding="latin-1")
    (folder / "movies.dat").write_text(movies, encoding="latin-1")
    return folder


def write_20m(folder, *, ratings=RATINGS_20M, movies=MOVIES_20M):
    folder.mkdir()
    (folder / "ratings.csv").write_text(ratings, encoding="utf-8")
    (folder / "movies.csv").write_text(movies, encoding="utf-8")
    return folder


def events(imported):
    return [
        (row["user_id"], row["product_id"], row["weight"]) for row in imported.interactions.table.to_pylist()
    ]


def test_ratings_of_1m_keep_their_time_and_weight(tmp_path):
    imported = import_movielens(write_1m(tmp_path / "1m"))
    assert events(imported) == [("1", "M1193", 5.0), ("1", "M661", 3.0), ("2", "M1193", 4.0)]
    row = imported.interactions.table.to_pylist()[0]
    assert (row["event_type"], row["event_time"]) == ("rating", datetime.fromtimestamp(978300760, UTC))
    assert imported.source.clock == "2001-01-01T00:00:00Z"


def test_ratings_of_20m_keep_half_stars(tmp_path):
    imported = import_movielens(write_20m(tmp_path / "20m"))
    assert events(imported) == [("1", "M2", 3.5), ("1", "M29", 0.5), ("2", "M29", 5.0)]


def test_genres_are_tags_and_the_first_is_the_category(tmp_path):
    films = import_movielens(write_1m(tmp_path / "1m")).products.table.to_pylist()
    assert [(film["category"], film["tags"]) for film in films] == [
        ("Drama", ["Drama"]),
        ("Animation", ["Animation", "Musical"]),
    ]
    assert films[1]["title"] == "James: and, so on (1996)"


def test_a_film_without_genres_has_no_category(tmp_path):
    films = import_movielens(write_20m(tmp_path / "20m")).products.table.to_pylist()
    assert [(film["title"], film["category"]) for film in films] == [
        ("Cité, La (1995)", "Adventure"),
        ("Untold", None),
    ]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("1::x::5::978300760", "line 2: movie"),
        ("1::661::NaN::978300760", "line 2: rating"),
        ("1::661::-1::978300760", "line 2: rating"),
        ("1::661::5::later", "line 2: time"),
        ("::661::5::978300760", "line 2: user"),
        ("1::661::5", "user::movie::rating::time"),
    ],
)
def test_a_wrong_rating_is_named_by_file_line_and_field(line, named, tmp_path):
    folder = write_1m(tmp_path / "1m", ratings=f"1::1193::5::978300760\n{line}\n")
    with pytest.raises(SchemaError, match=rf"ratings\.dat: .*{named}"):
        import_movielens(folder)


def test_a_line_is_counted_with_the_header(tmp_path):
    folder = write_20m(tmp_path / "20m", ratings="userId,movieId,rating,timestamp\n1,2,3,1\n1,2,x,1\n")
    with pytest.raises(SchemaError, match=r"ratings\.csv: line 3: rating: .*'x'"):
        import_movielens(folder)


def test_a_wrong_film_is_named_by_file_and_line(tmp_path):
    folder = write_1m(tmp_path / "1m", movies="1193::A title::Drama\n661::No genres\n")
    with pytest.raises(SchemaError, match=r"movies\.dat: line 2"):
        import_movielens(folder)


@pytest.mark.parametrize(
    ("write", "text"), [(write_1m, ""), (write_20m, "userId,movieId,rating,timestamp\n")]
)
def test_no_rating_at_all_is_refused(write, text, tmp_path):
    with pytest.raises(EmptyDataError, match="expected ratings"):
        import_movielens(write(tmp_path / "empty", ratings=text))


def test_a_directory_of_neither_layout_is_refused(tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS_20M)
    with pytest.raises(MissingFileError, match=r"movies\.dat"):
        import_movielens(tmp_path)


def test_the_command_reports_the_datas_quality(tmp_path):
    ratings = RATINGS_1M + "3::999::4::978298413\n1::1193::5::978300760\n"
    out = tmp_path / "out"
    assert main(["import", "movielens", str(write_1m(tmp_path / "1m", ratings=ratings)), str(out)]) == 0
    quality = json.loads((out / "quality.json").read_text())["tables"]["interactions"]
    assert quality["quarantined"] == {"unknown_product": 1}
    assert quality["duplicates_collapsed"] == 1
    assert quality["rows_kept"] == 3


def test_a_wrong_directory_ends_the_command_with_a_message(tmp_path, capsys):
    assert main(["import", "movielens", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "MissingFileError" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
