from __future__ import annotations

from catchup_operator.state.contests import PEACE_SECONDS, REPAIR_DELAY_SECONDS, REPAIRS_AT_ONCE, Contests

CRONJOB, OTHER, ADA = ("people", "ada-sync"), ("people", "ada-digest"), ("people", "ada")


def test_a_few_edits_are_repaired_at_once_and_more_are_a_fight_that_slows_down_to_one_repair_a_minute() -> None:
    contests = Contests()
    for repair in range(REPAIRS_AT_ONCE):
        assert (contests.delay(CRONJOB), contests.contested_by(CRONJOB)) == (REPAIR_DELAY_SECONDS, None)
        contests.repaired(CRONJOB, ADA, float(repair))
    contests.repaired(CRONJOB, ADA, 10.0)
    assert contests.contested_by(CRONJOB) == "somebody changes it"
    contests.note_change(CRONJOB, "kubectl-edit sets spec.suspend")
    assert contests.contested_by(CRONJOB) == "kubectl-edit sets spec.suspend"
    for repair in range(20):
        contests.repaired(CRONJOB, ADA, 20.0 + repair)
    assert contests.delay(CRONJOB) == 64 * REPAIR_DELAY_SECONDS
    assert (contests.delay(OTHER), contests.contested_by(OTHER)) == (REPAIR_DELAY_SECONDS, None)


def test_a_fight_is_over_after_five_minutes_without_a_repair() -> None:
    contests = Contests()
    for repair in range(REPAIRS_AT_ONCE + 1):
        contests.repaired(CRONJOB, ADA, float(repair))
    contests.repaired(OTHER, ADA, 3.0)
    assert contests.end_quiet(PEACE_SECONDS) == set()
    assert contests.end_quiet(REPAIRS_AT_ONCE + PEACE_SECONDS) == {ADA}
    assert (contests.delay(CRONJOB), contests.contested_by(CRONJOB)) == (REPAIR_DELAY_SECONDS, None)
    assert contests.end_quiet(10 * PEACE_SECONDS) == set()


def test_an_edit_that_was_repaired_long_ago_does_not_count() -> None:
    contests = Contests()
    for day in range(10):
        contests.repaired(CRONJOB, ADA, day * 86400.0)
        assert contests.end_quiet(day * 86400.0 + PEACE_SECONDS) == set()
