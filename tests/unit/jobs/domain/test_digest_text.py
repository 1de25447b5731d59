"""What a digest says, by SMS and by email, whatever a name holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchup_contract.digest_rule import DigestDay, DigestTime
from catchup_jobs.domain.digest.content import DigestContent, DigestLinks, Reconnect
from catchup_jobs.domain.digest.email_text import EmailDigest, email_digest, entries_of
from catchup_jobs.domain.digest.formatting import contact_time, long_time, short_time, zone_name
from catchup_jobs.domain.digest.gsm7 import is_gsm7, length, segments
from catchup_jobs.domain.digest.items import DigestItem
from catchup_jobs.domain.digest.sms_text import MAX_SEGMENTS, compose, sms_text
from catchup_jobs.domain.text import clean

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 11, 29, 13, tzinfo=UTC)
REASON = "42 days since you last met; you aim for monthly; both like climbing"
CONNECT = "https://app.example.com/settings?tab=calendar"
LINK = "https://app.example.com/catchup/AWEAAAAAAAAAEQHDmggxVdlhgyFDXXdc9_1kZ2ab"


def item(number: int = 1, name: str = "Ben", *, zone: str | None = None, reason: str = REASON) -> DigestItem:
    start = START + timedelta(days=number - 1)
    return DigestItem(number, name, start, start + timedelta(hours=1), "call", reason, zone)


def items(count: int, name: str = "Ben") -> list[DigestItem]:
    return [item(number, f"{name} {number}") for number in range(1, count + 1)]


# The SMS ----------------------------------------------------------------------------------------------------------


def test_an_entry_of_an_sms_has_name_time_zone_reason_and_how_to_act() -> None:
    text = compose([item()], BERLIN, code="K7Q2P9")
    assert "Ben Sun 29 Nov 14:00 CET, call: 42 days since you last met; you aim for monthly; both like climbing" in text
    assert "Accept, dismiss or snooze in CatchUp" in text
    assert "#K7Q2P9" in text
    assert "http" not in text


def test_with_a_link_the_sms_says_where_to_act() -> None:
    assert LINK in compose([item()], BERLIN, code="K7Q2P9", link=LINK)


def test_the_contacts_clock_is_shown_where_it_differs() -> None:
    assert "14:00 CET (08:00 EST there)" in compose([item(zone="America/New_York")], BERLIN, code="K7Q2P9")
    assert "there" not in compose([item(zone="Europe/Paris")], BERLIN, code="K7Q2P9")
    assert "there" not in compose([item(zone="No/Zone")], BERLIN, code="K7Q2P9")


def test_another_date_on_the_contacts_clock_is_named() -> None:
    late = DigestItem(1, "Ben", START + timedelta(hours=6), START + timedelta(hours=7), "call", "", "Asia/Tokyo")
    assert short_time(late, BERLIN) == "Sun 29 Nov 20:00 CET (Mon 30 Nov 04:00 JST there)"
    assert contact_time(late, BERLIN) == "Monday 30 November, 04:00 JST for Ben"


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("Europe/Berlin", "CET"),
        ("Etc/UTC", "UTC"),
        ("Asia/Dubai", "UTC+4"),
        ("Asia/Kathmandu", "UTC+5:45"),
        ("America/Sao_Paulo", "UTC-3"),
        ("Australia/Lord_Howe", "UTC+11"),
    ],
)
def test_a_zone_without_a_name_is_shown_by_its_offset(zone: str, name: str) -> None:
    assert zone_name(START, ZoneInfo(zone)) == name


def test_the_zone_is_that_of_the_proposed_day_not_of_today() -> None:
    summer = DigestItem(
        1, "Ben", datetime(2026, 7, 1, 12, tzinfo=UTC), datetime(2026, 7, 1, 13, tzinfo=UTC), "call", ""
    )
    assert "14:00-15:00 CEST" in long_time(summer, BERLIN)


def test_a_digest_is_one_sms_of_two_segments_and_the_rest_by_its_count() -> None:
    text = compose(items(12), BERLIN, code="K7Q2P9")
    named = sum(f"Ben {number} " in text for number in range(1, 13))
    assert f"+{12 - named} more" in text
    assert named >= 7
    assert segments(text) == MAX_SEGMENTS
    assert length(text) <= 306


def test_people_are_named_before_reasons_are_given() -> None:
    text = compose(items(3), BERLIN, code="K7Q2P9", link=LINK)
    for number, when in enumerate(("Sun 29 Nov 14:00", "Mon 30 Nov 14:00", "Tue 1 Dec 14:00"), 1):
        assert f"Ben {number} {when} CET, call" in text
    assert LINK in text
    assert "more" not in text
    assert segments(text) == MAX_SEGMENTS
    assert "42 days" in text  # what is left goes to the first reasons


@pytest.mark.parametrize("reconnect", [None, Reconnect(), Reconnect(CONNECT)])
@pytest.mark.parametrize("link", [None, LINK])
@pytest.mark.parametrize("name", ["Ben", "Łukasz Żółć"])
@pytest.mark.parametrize("count", [1, 3, 12, 50])
def test_how_to_stop_and_the_code_are_in_every_sms(
    count: int, name: str, link: str | None, reconnect: Reconnect | None
) -> None:
    text = compose(items(count, name), BERLIN, code="K7Q2P9", link=link, reconnect=reconnect)
    assert text.endswith("\n#K7Q2P9 STOP to end")
    assert segments(text) <= MAX_SEGMENTS


def test_the_room_goes_to_people_then_to_the_link_to_answer_by_then_to_the_one_to_connect_by() -> None:
    connect = LINK.replace("catchup/", "connect/")
    bare = [compose(items(count), BERLIN, code="K7Q2P9", reconnect=Reconnect()) for count in range(1, 13)]
    told = [
        compose(items(count), BERLIN, code="K7Q2P9", link=LINK, reconnect=Reconnect(connect)) for count in range(1, 13)
    ]
    assert [text.count(", call") for text in told] == [text.count(", call") for text in bare]
    links = [(LINK in text, connect in text) for text in told]
    # The more people there are, the less is left for links.
    assert sorted(links, reverse=True) == links
    assert set(links) == {(True, True), (True, False), (False, False)}


@pytest.mark.parametrize("mode", ["call", "either"])
@pytest.mark.parametrize("takes_replies", [True, False])
@pytest.mark.parametrize("reconnect", [None, Reconnect(), Reconnect(CONNECT)])
@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Pacific/Chatham"])
def test_the_longest_clocks_beside_a_name_of_emoji_fit_two_segments(
    zone: str, reconnect: Reconnect | None, takes_replies: bool, mode: str
) -> None:
    many = [replace(item(1, "\U0001f600" * 60, zone="Asia/Kolkata"), mode=mode)] * 50
    text = compose(many, ZoneInfo(zone), code="K7Q2P9", link=LINK, takes_replies=takes_replies, reconnect=reconnect)
    assert segments(text) <= MAX_SEGMENTS
    assert "\U0001f600" in text
    assert "+49 more" in text
    assert ("STOP to end" if takes_replies else "top") in text


@given(st.integers(1, 20), st.integers(1, 40), st.sampled_from([None, LINK]))
def test_no_reason_takes_the_place_of_a_link_and_no_link_that_of_a_person(
    count: int, length_of_name: int, link: str | None
) -> None:
    of = items(count, "x" * length_of_name)
    terse = [replace(each, reason="") for each in of]
    bare, linked = (compose(terse, BERLIN, code="K7Q2P9", link=url) for url in (None, link))
    told = compose(of, BERLIN, code="K7Q2P9", link=link)
    assert told.count(", call") == linked.count(", call") == bare.count(", call")
    assert link is None or (link in told) is (link in linked)


@pytest.mark.parametrize("link", [None, LINK])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_a_sender_that_cannot_receive_stop_says_how_else_to_stop(count: int, link: str | None) -> None:
    text = compose(items(count), BERLIN, code="K7Q2P9", link=link, takes_replies=False)
    assert "STOP" not in text
    assert " or stop" in text
    assert segments(text) <= MAX_SEGMENTS


@pytest.mark.parametrize("name", ["Conan O\u2019Brien", "Ben \u2013 \u201cB\u201d", "Ben\u2026", "Ben\u00a0B"])
def test_typographic_punctuation_does_not_halve_the_message(name: str) -> None:
    assert is_gsm7(compose([item(1, name)], BERLIN, code="K7Q2P9"))


def test_what_fits_is_said_whole_before_anything_is_left_out() -> None:
    whole = compose(items(1), BERLIN, code="K7Q2P9")
    assert REASON in whole
    shorter = compose(items(3), BERLIN, code="K7Q2P9")
    assert "42 days since you last met" in shorter
    assert "climbing" not in shorter
    assert "more" not in shorter


@pytest.mark.parametrize("name", ["Łukasz Żółć", "山田太郎", "Zoë 😀", "José Muñoz ç"])
@pytest.mark.parametrize("link", [None, LINK])
def test_names_outside_of_the_gsm_alphabet_stay_as_they_are_within_two_segments(name: str, link: str | None) -> None:
    text = compose(items(5, name), BERLIN, code="K7Q2P9", link=link)
    assert not is_gsm7(text)
    assert length(text) <= 134
    assert name in text
    assert "#K7Q2P9" in text


def test_the_mark_of_a_shortened_title_does_not_cost_the_gsm_alphabet() -> None:
    text = compose([item(reason='you have "A very long tit\u2026" then; both like tea')], BERLIN, code="K7Q2P9")
    assert "A very long tit..." in text
    assert is_gsm7(text)


def test_a_clause_that_alone_would_halve_the_message_is_left_out() -> None:
    text = compose(
        [item(reason="both like \u0448\u0430\u0445\u043c\u0430\u0442\u044b; 42 days since you last met")],
        BERLIN,
        code="K7Q2P9",
    )
    assert "call: 42 days since you last met" in text
    assert is_gsm7(text)


def test_a_long_link_is_given_up_before_the_segments_are() -> None:
    text = compose(items(3, "山田太郎"), BERLIN, code="K7Q2P9", link="https://example.com/" + "x" * 130)
    assert "http" not in text
    assert segments(text) <= MAX_SEGMENTS


NASTY = {
    "line breaks": "Ben\r\nBcc: eve@example.com\n\nSTOP",
    "html": "<script>alert(1)</script>",
    "emoji": "👨‍👩‍👧‍👦" * 40,
    "10 kB": "x" * 10_000,
    "10 kB of CJK": "山" * 10_000,
    "right-to-left override": "Ben\u202egnp.exe",
    "control characters": "Ben\x00\x07\x1b[31m",
    "only spaces and marks": "\u200b\u2028 \u00ad",
}


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("link", [None, LINK])
def test_no_name_breaks_out_of_its_line_or_of_the_segments(name: str, link: str | None) -> None:
    text = compose([item(1, name, reason=name), item(2, name)], BERLIN, code="K7Q2P9", link=link)
    assert segments(text) <= MAX_SEGMENTS
    assert len(text) <= 1600  # Twilio refuses more (error 21617)
    assert "#K7Q2P9" in text
    assert not any(line.startswith(("Bcc", "STOP")) for line in text.splitlines())
    assert not {"\r", "\u202e", "\x00", "\x1b"} & set(text)


@given(
    st.lists(st.text(max_size=300), min_size=1, max_size=50),
    st.sampled_from([None, LINK]),
    st.booleans(),
    st.sampled_from([None, Reconnect(), Reconnect(CONNECT)]),
)
def test_any_digest_fits_two_segments(
    names: list[str], link: str | None, takes_replies: bool, reconnect: Reconnect | None
) -> None:
    many = [item(number, name, zone="Asia/Kathmandu", reason=name) for number, name in enumerate(names, 1)]
    text = compose(many, BERLIN, code="K7Q2P9", link=link, takes_replies=takes_replies, reconnect=reconnect)
    assert segments(text) <= MAX_SEGMENTS
    assert ("STOP to end" in text) is takes_replies


@given(st.text(max_size=400), st.integers(10, 80))
def test_a_cleaned_text_is_one_line_within_its_limit_and_cleaning_again_changes_nothing(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert len(cleaned.splitlines()) <= 1
    assert clean(cleaned, limit) == cleaned


def test_a_name_that_shows_nothing_is_a_contact() -> None:
    assert "a contact Sun 29 Nov" in compose([item(1, "\u200b \u00ad")], BERLIN, code="K7Q2P9")


# The request to connect again --------------------------------------------------------------------------------------

SUNDAY_NINE = DigestTime(BERLIN, DigestDay.SUNDAY, time(9))
LINKS = DigestLinks(overview=LINK, actions={}, unsubscribe=LINK)


def request(url: str | None = None, links: DigestLinks | None = None) -> DigestContent:
    return DigestContent("Ada", (), SUNDAY_NINE, "K7Q2P9", links, Reconnect(url))


@pytest.mark.parametrize("takes_replies", [True, False])
@pytest.mark.parametrize("links", [None, LINKS])
def test_a_request_alone_says_why_where_and_how_to_stop_in_one_sms(
    links: DigestLinks | None, takes_replies: bool
) -> None:
    text = sms_text(request(CONNECT, links), takes_replies=takes_replies)
    stop = "#K7Q2P9 STOP to end" if takes_replies else f"Stop{f': {LINK}' if links else ' in CatchUp'} #K7Q2P9"
    assert text == (
        "CatchUp: Google no longer lets CatchUp read your calendar; to get new suggestions, connect it again:"
        f" {CONNECT}\n{stop}"
    )
    assert segments(text) <= MAX_SEGMENTS
    assert is_gsm7(text)


@pytest.mark.parametrize("takes_replies", [True, False])
@pytest.mark.parametrize("url", ["https://app.example.com/" + "x" * 76, "https://app.example.com/`" + "x" * 75])
def test_a_request_alone_fits_two_segments_whatever_the_links_are(url: str, takes_replies: bool) -> None:
    links = replace(LINKS, overview="https://app.example.com/" + "x" * 120)
    text = sms_text(request(url, links), takes_replies=takes_replies)
    assert segments(text) <= MAX_SEGMENTS
    assert (url in text) is is_gsm7(url)
    assert "#K7Q2P9" in text


def test_a_request_beside_people_is_one_short_line_of_the_sms() -> None:
    content = replace(request(CONNECT), items=tuple(items(2)))
    assert f"\nReconnect your calendar: {CONNECT}\n" in sms_text(content)
    assert "\nReconnect your calendar\n" in sms_text(replace(content, reconnect=Reconnect()))
    assert "econnect" not in sms_text(replace(content, reconnect=None))


SENTENCE = "Google no longer lets CatchUp read your calendar; to get new suggestions, connect it again"


@pytest.mark.parametrize(("url", "end"), [(None, " in CatchUp."), (CONNECT, f": {CONNECT}")])
def test_a_request_is_one_sentence_of_the_email_beside_people_and_alone(url: str | None, end: str) -> None:
    alone = email_digest(request(url))
    assert alone.subject == "Connect your calendar again"
    assert alone.text() == (
        f"Hello Ada,\n\n{SENTENCE}{end}\n\n"
        "You get this every Sunday at 09:00 (Europe/Berlin), because you use CatchUp.\n"
    )
    beside = email_digest(replace(request(url), items=tuple(items(1))))
    assert beside.subject == "Catch up with Ben 1"
    assert f"\n\n{SENTENCE}{end}\n\n" in beside.text()
    assert SENTENCE not in email_digest(replace(request(url), items=tuple(items(1)), reconnect=None)).text()


# The email --------------------------------------------------------------------------------------------------------


def email(*of: DigestItem, links: bool = False) -> EmailDigest:
    by_id = {each.suggestion_id: dict.fromkeys(("accept", "snooze", "dismiss"), LINK) for each in of} if links else {}
    unsubscribe = LINK if links else None
    return EmailDigest("Ada", entries_of(of, BERLIN, by_id), "every Sunday at 09:00 (Europe/Berlin)", unsubscribe)


def test_an_entry_of_an_email_has_name_time_zone_reason_and_how_to_act() -> None:
    text = email(item(zone="America/New_York")).text()
    assert "Ben\n  Sunday 29 November, 14:00-15:00 CET\n  (08:00 EST for Ben)\n  Call: 42 days" in text
    assert "open CatchUp" in text
    assert "every Sunday at 09:00 (Europe/Berlin)" in text


def test_with_links_each_entry_can_be_answered_and_without_there_are_none() -> None:
    text = email(item(), links=True).text()
    assert all(f"{action}: {LINK}" in text for action in ("Accept", "Snooze", "Dismiss"))
    assert f"To stop these emails: {LINK}" in text
    assert "http" not in email(item()).text()


@pytest.mark.parametrize(
    ("count", "subject"),
    [
        (1, "Catch up with Ben 1"),
        (2, "Catch up with Ben 1 and Ben 2"),
        (5, "Catch up with Ben 1, Ben 2 and 3 more"),
    ],
)
def test_the_subject_names_people(count: int, subject: str) -> None:
    assert email(*items(count)).subject == subject


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY.keys())
def test_no_name_breaks_out_of_the_subject(name: str) -> None:
    subject = email(item(1, name), item(2, name), item(3, name)).subject
    assert len(subject) < 130
    assert len(subject.splitlines()) == 1


def test_an_item_survives_being_frozen() -> None:
    frozen = item(zone="Asia/Tokyo")
    assert DigestItem.from_json(frozen.to_json()) == frozen
