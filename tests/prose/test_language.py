"""Numbers, lists, bounds and durations as a language tells them; both languages know every text."""

import re
import string

import pandas as pd
import pytest

from amakit.prose.language import Language, plain, texts

ENGLISH, JAPANESE = Language("en"), Language("ja", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("seconds", "english", "japanese"),
    [(0, "0 s", "0 秒"), (59.6, "1 min 0 s", "1 分 0 秒"), (3_725, "1 h 2 min", "1 時間 2 分"), (90_000, "1 d 1 h", "1 日 1 時間")],
)  # fmt: skip
def test_a_duration_has_its_two_largest_units(seconds, english, japanese):
    assert (ENGLISH.duration(seconds), JAPANESE.duration(seconds)) == (english, japanese)


@pytest.mark.parametrize(
    ("number", "english", "japanese"),
    [(0, "no machine", "0 台"), (1, "1 machine", "1 台"), (1200, "1,200 machines", "1,200 台")],
)
def test_things_are_counted_by_the_rules_of_the_language(number, english, japanese):
    assert (ENGLISH.count(number, "machine"), JAPANESE.count(number, "machine")) == (english, japanese)


def test_lists_end_as_the_language_does_it_and_say_how_many_they_leave_out():
    assert ENGLISH.both(["a", "b", "c"]) == "a, b and c"
    assert JAPANESE.both(["a", "b", "c"]) == "a、b、c"
    assert ENGLISH.names("abc", most=2) == "a, b and 1 more"
    assert ENGLISH.listed("abc", most=2) == "a, b (+1)"


def test_bounds_are_told_where_there_is_a_choice():
    assert (ENGLISH.range(4, 4, 4), ENGLISH.range(24, 23, 25)) == ("4", "24 (23–25)")
    assert ENGLISH.bounded({"value": 240.0, "low": 220.0, "high": 260.0}) == "4 min 0 s (3 min 40 s – 4 min 20 s)"
    assert ENGLISH.bounded({"value": float("nan"), "low": 220.0, "high": 260.0}) == "not back"
    assert ENGLISH.clock({"value": 9000.0, "low": 8980.0, "high": 9020.0}) == "150:00 (149:40–150:20)"


def test_a_lag_that_was_not_reached_says_so():
    inf = float("inf")
    assert ENGLISH.days({"value": 8.0, "low": 6.9, "high": 11.0}) == "8 days (6.9–11)"
    assert ENGLISH.days({"value": 8.0, "low": 6.0, "high": inf}) == "8 days (6 or more)"
    assert ENGLISH.days({"value": inf, "low": 11.0, "high": inf}) == "11 days at least"
    assert ENGLISH.days({"value": 1.0, "low": -inf, "high": 2.0}) == "2 days at most"


def test_times_are_told_in_the_zone():
    assert JAPANESE.time(pd.Timestamp("2026-03-02 23:59:30", tz="UTC")) == "2026-03-03 08:59"


def test_both_languages_know_every_text_and_every_fact():
    english, japanese = texts("en"), texts("ja")
    for section, told in english.items():
        assert list(told) == list(japanese[section]), section
        for key, text in told.items():
            fields = [
                {name for _, name, *_ in string.Formatter().parse(str(t)) if name and name.isidentifier()}
                for t in (text, japanese[section][key])
            ]
            assert section == "counted" or fields[0] == fields[1], (section, key)


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "*a* _b_ `c` [d](http://e)", "# head", "a\n\n- b", "$x$ ~~y~~ ![i](j)", "&lt;"],
)
def test_names_from_machines_stay_text_in_markdown(text):
    from nbconvert.filters import markdown2html

    shown = markdown2html(f"before {plain(text)} after")
    words = re.sub(r"<[^>]*>", "", shown).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert re.findall(r"<(\w+)", shown) == ["p"]
    assert words.strip() == f"before {' '.join(text.split())} after"
