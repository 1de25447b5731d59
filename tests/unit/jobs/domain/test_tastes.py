"""Which interests an event names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.jobs.domain.planning_world import NOW, clocks, contact, event

from catchup_jobs.domain.calendar.availability import Interval
from catchup_jobs.domain.people.words import words
from catchup_jobs.domain.planning.suggestions import HORIZON
from catchup_jobs.domain.planning.tastes import Tastes

# Letters that change their length or their alphabet when their case is folded, and the signs that words may hold.
TEXTS = st.text("abAB ßSs\u0130\u0131K+#.&é-\u0301", max_size=12)


@pytest.mark.parametrize("others", [0, 200])
@given(st.lists(TEXTS.filter(words), max_size=6, unique=True), st.lists(TEXTS, max_size=3))
def test_an_event_names_the_interests_whose_words_follow_each_other_in_its_title(
    others: int, tags: list[str], title: list[str]
) -> None:
    """Few interests are looked for as parts of the text first, many are not."""
    text = " ".join([*title, *tags[:1]])
    people = [contact(number, tags=(tag,)) for number, tag in enumerate(tags)]
    people += [contact(1_000 + number, tags=(f"other{number}",)) for number in range(others)]
    happening = event(Interval(NOW, NOW + HORIZON), title=text)
    found = {
        match.contact.id for match in Tastes(people, user_city=None, clocks=clocks(), now=NOW).matches([happening])
    }
    of_text = words(text)
    expected = {
        number
        for number, tag in enumerate(tags)
        if any(of_text[start : start + len(words(tag))] == words(tag) for start in range(len(of_text)))
    }
    assert found == expected
