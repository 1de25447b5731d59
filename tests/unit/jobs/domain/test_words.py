"""Words by Unicode's rules: what a tag may hold, and what is compared."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.domain.people.contacts import same_name
from catchup_jobs.domain.people.words import count_words, words

CRICKET = "\u0915\u094d\u0930\u093f\u0915\u0947\u091f"
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
CLIMBER = "\U0001f9d7\U0001f3fd\u200d\u2640\ufe0f"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        # Figure 1 of UAX #29: https://www.unicode.org/reports/tr29/#Word_Boundaries
        ("The quick (\u201cbrown\u201d) fox can\u2019t jump 32.3 feet, right?", 9),
        (CRICKET, 1),
        (f"{CRICKET} \u092e\u0948\u091a", 2),
        ("\U0001f9d7", 1),
        (FAMILY, 1),
        (f"{CLIMBER} {FAMILY}", 2),
        ("\u2665\ufe0f", 1),
        ("\U0001f1e9\U0001f1ea", 1),
        ("1\ufe0f\u20e3", 1),
        ("rock'n'roll", 1),
        ("St. John's choir", 3),
        ("l\u2019\u00e9t\u00e9", 1),
        ("cafe\u0301", 1),
        ("C++", 1),
        ("\u65e5\u672c\u8a9e\u4f1a\u8a71", 1),
        ("\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", 1),
        ("a b c d", 4),
        ("rock-climbing", 2),
        ("!", 0),
        ("\u200d", 0),
        ("", 0),
    ],
)
def test_words_are_counted_as_a_person_counts_them(text: str, count: int) -> None:
    assert count_words(text) == count


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"Stra\u00dfe, {CRICKET}!", ["strasse", CRICKET]),
        (f"with {FAMILY}\u2665\ufe0f", ["with", FAMILY, "\u2665"]),
        ("\u65e5\u672c\u30bf\u30ef\u30fc", ["\u65e5", "\u672c", "\u30bf\u30ef\u30fc"]),
        ("cours d\u2019escalade", ["cours", "d", "escalade"]),
        ("C++ caf\u00e9", ["c++", "caf\u00e9"]),
        ("C++ and C# and R&D in .NET", ["c++", "and", "c#", "and", "r&d", "in", ".net"]),
    ],
)
def test_words_are_compared_caseless_in_any_script(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(st.text(max_size=30))
def test_words_are_the_same_in_every_form_of_unicode(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert words(normalize(form, text)) == words(text)
    assert same_name(normalize("NFD", text), normalize("NFC", text))


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_ascii_text_has_the_same_words_beside_other_text(text: str) -> None:
    assert words(f"{text} \u00e9") == [*words(text), "\u00e9"]
