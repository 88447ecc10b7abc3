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
PATIENCE = 1.0  # seconds between two trials while the team is at work
LONELY = 0.1  # the same while one thread is: a neighbour may leave at any time, and a team has more to gain
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
        self.trying = False

    def choose(self) -> tuple[int, float]:
        """Threads for the next slice, and its seconds."""
        if self.most == 1:
            return 1, SLICE
        slow = self.rates.get(self.size, 0.0) < DROP * self.best
        wait = TRIAL if len(self.rates) < 2 or slow else PATIENCE if self.size > 1 else LONELY
        self.trying = self.since >= wait
        if self.trying:
            return self.other(), self.trial()
        return self.size, SLICE if self.rates else TRIAL

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
        if not self.trying:
            self.waited += seconds
            if steps:
                self.rates[self.size] = rate = steps / self.waited
                self.best, self.waited = max(self.best, rate), 0.0
            self.since = self.since + seconds if self.size == 1 or self.trial() <= LONGEST else 0.0
            return
        self.since = self.waited = 0.0
        if steps:
            self.rates[self.other()] = steps / seconds
            if self.rates[self.other()] > self.rates.get(self.size, 0.0):
                self.size = self.other()
        self.best = self.rates.get(self.size, 0.0)
