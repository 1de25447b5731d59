from __future__ import annotations

from catchup_operator.state.fights import PEACE_SECONDS, REPAIRS_AT_ONCE, SETTLE_SECONDS, Fights

CRONJOB, OTHER, ADA = ("people", "ada-sync"), ("people", "ada-digest"), ("people", "ada")


def test_a_few_edits_are_repaired_at_once_and_more_are_a_fight_that_slows_down_to_one_repair_a_minute() -> None:
    fights = Fights()
    for repair in range(REPAIRS_AT_ONCE):
        assert (fights.delay(CRONJOB), fights.contested_by(CRONJOB)) == (SETTLE_SECONDS, None)
        fights.repaired(CRONJOB, ADA, float(repair))
    fights.repaired(CRONJOB, ADA, 10.0)
    assert fights.contested_by(CRONJOB) == "somebody changes it"
    fights.changed(CRONJOB, "kubectl-edit sets spec.suspend")
    assert fights.contested_by(CRONJOB) == "kubectl-edit sets spec.suspend"
    for repair in range(20):
        fights.repaired(CRONJOB, ADA, 20.0 + repair)
    assert fights.delay(CRONJOB) == 64 * SETTLE_SECONDS
    assert (fights.delay(OTHER), fights.contested_by(OTHER)) == (SETTLE_SECONDS, None)


def test_a_fight_is_over_after_five_minutes_without_a_repair() -> None:
    fights = Fights()
    for repair in range(REPAIRS_AT_ONCE + 1):
        fights.repaired(CRONJOB, ADA, float(repair))
    fights.repaired(OTHER, ADA, 3.0)
    assert fights.settle(PEACE_SECONDS) == set()
    assert fights.settle(REPAIRS_AT_ONCE + PEACE_SECONDS) == {ADA}
    assert (fights.delay(CRONJOB), fights.contested_by(CRONJOB)) == (SETTLE_SECONDS, None)
    assert fights.settle(10 * PEACE_SECONDS) == set()


def test_an_edit_that_was_repaired_long_ago_does_not_count() -> None:
    fights = Fights()
    for day in range(10):
        fights.repaired(CRONJOB, ADA, day * 86400.0)
        assert fights.settle(day * 86400.0 + PEACE_SECONDS) == set()
