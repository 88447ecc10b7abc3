"""One thread or all of them: what has been faster of late.

Results do not depend on it, so it may follow the clock. A second thread can cost more than it brings: where a
neighbour has taken its core, every stage of a step waits for it; where a step is short, meeting takes the time
that is saved. Only steps of which a trial holds several are tried: longer ones always have the team, whose threads
take tiles as they are free.
"""

from __future__ import annotations

import math

SLICE = 0.05  # seconds between two returns to Python, for signals and the progress bar
TRIAL = 0.005  # seconds for which the other size is tried
TRIES = 4  # slices that a team may need: its threads may wake on one core, to be spread over others 5 to 20 ms later
PATIENCE = 1.0  # seconds between two trials while the team is at work
LONELY = 0.1  # the same while one thread is, as a neighbour may leave at any time; twice as long after each failure
TELLING = 3  # steps of the present size that a trial has room for
LONGEST = 0.05  # seconds of a trial
DROP = 0.75  # a pace below this part of the best calls for a trial at once


class Pace:
    """Chooses the size of the team of one stepper.

    Parameters
    ----------
    most : int
        Threads of a whole team.
    """

    def __init__(self, most: int) -> None:
        self.most = self.size = most
        self.rates: dict[int, float] = {}  # steps per second, by size, when last measured
        self.best = 0.0  # best rate of `size` since the last trial
        self.since = 0.0  # seconds since then
        self.waited = 0.0  # seconds of slices since the last that went through a step
        self.lonely = LONELY / 2
        self.tries = 0  # slices that are left of a trial

    @property
    def new(self) -> bool:
        """Whether only one size has been measured."""
        return len(self.rates) < 2

    def choose(self) -> tuple[int, float]:
        """Threads for the next slice, and its seconds."""
        if self.most == 1:
            return 1, SLICE
        if not self.tries and self.since >= self.wait():
            self.tries = 1 if self.size > 1 else max(1, round(TRIES * TRIAL / self.trial()))
        if self.tries:
            return self.other(), self.trial()
        return self.size, TRIAL if self.new else SLICE

    def wait(self) -> float:
        """Seconds from one trial to the next."""
        if self.new:
            return TRIES * TRIAL
        if self.rates[self.size] < DROP * self.best:
            return TRIAL
        return PATIENCE if self.size > 1 else self.lonely

    def trial(self) -> float:
        """Seconds that a trial takes."""
        return max(TRIAL, TELLING / self.best) if self.best else math.inf

    def other(self) -> int:
        """The size that is not in use."""
        return 1 if self.size > 1 else self.most

    def note(self, steps: int, seconds: float) -> None:
        """The slice just chosen went through so many steps; 0, where it ended within a step, tells nothing."""
        if self.most == 1:
            return
        if self.tries:
            self.conclude(steps / seconds)
            return
        self.waited += seconds
        if steps:
            rate, self.waited = steps / self.waited, 0.0
            self.best = max(self.best, rate)
            self.rates[self.size] = self.best if self.new else rate
        self.since = self.since + seconds if self.size == 1 or self.trial() <= LONGEST else 0.0

    def conclude(self, rate: float) -> None:
        """A slice of a trial had this rate."""
        self.tries -= 1
        won = rate > self.rates.get(self.size, 0.0)
        if self.tries and not won:
            return
        if rate:
            self.rates[self.other()] = rate
            if won == (self.size > 1):  # the team has lost
                self.lonely = min(2 * self.lonely, PATIENCE)
            elif self.size > 1:
                self.lonely = LONELY / 2
        if won:
            self.size = self.other()
        self.best, self.since, self.waited, self.tries = self.rates.get(self.size, 0.0), 0.0, 0.0, 0
