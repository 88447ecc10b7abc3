"""Whether a team is called for a product or a prediction, for gains and losses given by hand."""

import math
from collections.abc import Callable

import pytest

from nncore._kernels.ledger import Ledger

ALONE = 40e-6  # seconds of a call by one thread
TEAM = 22e-6


def calls(ledger: Ledger, seconds: float, team: Callable[[float], float], began: float = 0.0) -> tuple[float, float]:
    """Call after call for so many seconds: the part of them that the team had, and their speed ÷ that of one thread."""
    now, of_team, n = began, 0, 0
    while now < began + seconds:
        n += 1
        if ledger.pays(1.0, now):
            of_team += 1
            ended = now + team(now)
            ledger.settle(1.0, ALONE, now, ended)
            now = ended
        else:
            now += ALONE
    return of_team / n, n * ALONE / (now - began)


def test_a_team_that_gains_is_always_called():
    part, speed = calls(Ledger(), 1.0, lambda now: TEAM)
    assert part == 1
    assert speed == pytest.approx(ALONE / TEAM)


def test_a_few_milliseconds_in_a_second_are_forgiven():
    stalls = iter([0.1, 0.4, 0.8, math.inf])
    due = next(stalls)

    def team(now: float) -> float:
        nonlocal due
        if now < due:
            return TEAM
        due = next(stalls)
        return 8e-3

    part, _ = calls(Ledger(), 1.0, team)
    assert part == 1


@pytest.mark.parametrize("stall", [45e-6, 300e-6, 4e-3, 8e-3])
def test_a_team_that_always_loses_costs_little(stall):
    ledger = Ledger()
    calls(ledger, 0.5, lambda now: stall)
    _, speed = calls(ledger, 5.0, lambda now: stall, 0.5)
    assert speed > 0.94


def test_short_gains_between_long_stalls_are_weighed_together():
    """4 ms in which the second core is there, then 4 ms in which it is not."""
    ledger = Ledger()

    def team(now: float) -> float:
        phase = now % 8e-3
        return TEAM if phase < 4e-3 else max(TEAM, 8e-3 - phase)

    calls(ledger, 0.5, team)
    _, speed = calls(ledger, 5.0, team, 0.5)
    assert speed > 0.94


def test_a_busy_neighbour_is_noticed_within_100_ms_and_its_leaving_within_half_a_second():
    ledger = Ledger()
    calls(ledger, 1.0, lambda now: TEAM)
    _, speed = calls(ledger, 0.1, lambda now: 8e-3, 1.0)
    assert speed > 0.5  # over the 100 ms in which it was noticed
    calls(ledger, 5.0, lambda now: 8e-3, 1.1)
    calls(ledger, 0.5, lambda now: TEAM, 6.1)
    part, _ = calls(ledger, 1.0, lambda now: TEAM, 6.7)
    assert part == 1


def test_a_long_call_has_the_team_even_while_it_is_away():
    ledger = Ledger()
    for i in range(4):
        ledger.settle(1.0, ALONE, i * 8e-3, (i + 1) * 8e-3)
    assert not ledger.pays(1.0, 0.033)
    assert ledger.pays(1000.0, 0.033)  # 40 ms by one thread


def test_a_call_that_thread_0_came_too_late_for_counts_by_the_pace_of_earlier_ones():
    ledger = Ledger()
    ledger.settle(1.0, ALONE, 0.0, TEAM)
    for i in range(4):
        ledger.settle(1.0, math.inf, i * 8e-3, (i + 1) * 8e-3)
    assert not ledger.pays(1.0, 0.033)
