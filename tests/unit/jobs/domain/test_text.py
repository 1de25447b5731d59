"""Text that people wrote, as it is shown. The classes of characters are Unicode's, the sequences those of terminals."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_jobs.domain.text import clean, escaped, one_line, printable

# UAX #9, table 4: embeddings, overrides, isolates and marks.
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
C0 = "".join(map(chr, range(0x20)))
C1 = "".join(map(chr, range(0x7F, 0xA0)))


@pytest.mark.parametrize("character", BIDI + C0 + C1 + "\u2028\u2029\ud800\udfff")
def test_no_control_or_direction_character_is_shown_anywhere(character: str) -> None:
    text = f"a{character}b"
    assert one_line(text) in {"ab", "a b"}
    assert character not in clean(text, 80)
    assert character == "\n" or character not in printable(text)
    shown = escaped(json.dumps({"name": text}, indent=2, ensure_ascii=False))
    assert character == "\n" or character not in shown
    assert json.loads(shown) == {"name": text}


@pytest.mark.parametrize(
    "text",
    [
        "\u200b\u2028 \u00ad",  # zero width space, line separator, soft hyphen
        "\u200d\u200c",  # joiners alone
        "\ufe0f",  # a variation selector alone
        "\u3164\uffa0\u115f\u1160",  # Hangul fillers are letters
        "\u2800\u2800",  # the blank Braille pattern is a symbol
        "\u034f\u180b\U000e0100",
        "\ufeff",
        "",
    ],
)
def test_text_of_which_nothing_can_be_seen_is_empty(text: str) -> None:
    assert one_line(text) == ""
    assert clean(text, 60) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoe\u0308", "Zo\u00eb"),  # NFC
        ("\u0928\u0939\u0940\u0902", "\u0928\u0939\u0940\u0902"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("Ben\r\nBcc: eve@example.com", "Ben Bcc: eve@example.com"),
        ("\x1b]0;title\x07Ben\x9b31m", "]0;title Ben 31m"),
        ("Ben\u202egnp.exe", "Bengnp.exe"),
    ],
)
def test_what_can_be_seen_stays_and_what_steers_goes(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(st.text(max_size=400))
def test_a_line_has_only_visible_characters_and_is_a_fixed_point(text: str) -> None:
    line = one_line(text)
    assert one_line(line) == line
    assert unicodedata.is_normalized("NFC", line)
    assert all(unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"} for character in line)


@given(st.text(max_size=200))
def test_escaped_json_means_the_same(text: str) -> None:
    assert json.loads(escaped(json.dumps([text], indent=2, ensure_ascii=False))) == [text]
