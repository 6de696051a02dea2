"""Terms come from a product's own words and tags alone, and stay in range."""

from index.texts import TERM_CODE_COUNT, TERM_COUNT, encode_terms


def test_products_share_the_codes_of_shared_words_and_tags() -> None:
    first, second, third = encode_terms(
        [
            {"title": "Options for Beginners", "tags": ["quant"]},
            {"title": "OPTIONS, advanced", "tags": ["quant"]},
            {"title": "Quant"},
        ]
    )
    assert set(first[first > 0]) & set(second[second > 0]) == {first[0], first[1]}
    # A tag is another term than a word of the same letters.
    assert not set(first[first > 0]) & set(third[third > 0])


def test_chinese_text_is_cut_into_neighbouring_pairs() -> None:
    whole, part = encode_terms([{"title": "策略回测进阶"}, {"title": "回测"}])
    assert (whole > 0).sum() == 5
    assert part[0] in whole


def test_what_is_no_text_is_missing() -> None:
    encoded = encode_terms([{"title": None, "tags": None}, {"title": 7, "tags": [3, "a"]}, {}])
    assert (encoded > 0).sum(axis=1).tolist() == [0, 1, 0]


def test_a_long_text_is_cut_off_and_repeats_count_once() -> None:
    long = " ".join(f"word{number}" for number in range(500))
    encoded = encode_terms([{"title": long}, {"title": "again again"}])
    assert encoded.shape == (2, TERM_COUNT)
    assert (encoded[0] > 0).all()
    assert encoded.max() <= TERM_CODE_COUNT
    assert (encoded[1] > 0).sum() == 1


def test_no_products_have_no_terms() -> None:
    assert encode_terms([]).shape == (0, TERM_COUNT)
