"""How many SMS a text takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.domain.digest.gsm7 import is_gsm7, length, segments


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),  # two septets each
        ("€" * 81, 2),
        ("€" * 152, 2),  # 76 a part: no escape is torn from its character
        ("€" * 153, 3),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 134, 2),
        ("ж" * 135, 3),
        ("😀" * 35, 1),  # two UTF-16 units each
        ("😀" * 66, 2),  # 33 a part: no pair is torn
        ("😀" * 67, 3),
        ("a" * 69 + "ж", 1),
        ("a" * 70 + "ж", 2),
    ],
)
def test_segments_are_counted_as_they_are_sent(text: str, count: int) -> None:
    assert segments(text) == count


@pytest.mark.parametrize("text", ["Café", "Ørsted", "Größe", "a\nb", "[x]{y}^|~\\€", "@£$¥ÆæßÉ¡¿Ω"])
def test_the_gsm_alphabet_holds_these(text: str) -> None:
    assert is_gsm7(text)


@pytest.mark.parametrize("text", ["José ç", "Zoë ő", "…", "`", "“x”", "Łódź", "山", "😀", "\t", "á"])
def test_the_gsm_alphabet_does_not_hold_these(text: str) -> None:
    assert not is_gsm7(text)


def test_an_escaped_character_counts_two_septets_and_an_emoji_two_units() -> None:
    assert length("a€") == 3
    assert length("ж😀") == 3


@given(st.text())
def test_a_longer_text_never_takes_fewer_segments(text: str) -> None:
    assert segments(text) >= segments(text[:-1]) or (is_gsm7(text[:-1]) and not is_gsm7(text))
    assert segments(text + "a") >= segments(text)
