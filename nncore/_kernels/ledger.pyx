"""Whether a team has paid for itself of late, where every call opens one: a product, a prediction.

The threads of a parallel region wait for each other at both its ends. Where other processes keep the cores busy, one
of them may be off its core for 4 to 8 ms, in a call of 20 µs; the same happens for some ms when a thread that slept
wakes on the core of the one that called it. So each call of a team is compared with what one thread would have taken.
"""

from libc.math cimport INFINITY

cdef double TRUST = 0.01      # seconds that a team may lose before it is sent away: twice those of an idle machine
cdef double SHORTEST = 0.05   # seconds that it is sent away for
cdef double LONGEST = 0.5


cdef class Ledger:
    """What a team has gained and lost. A loss sends it away, for twice as long each time until it has made that good.

    Times are in seconds of any clock. Callers hold the GIL; no result depends on what is in here.
    """

    cpdef bint pays(self, double work, double now):
        """Whether to call the team for `work`, of any unit: it is not away, or may gain more than it loses at once."""
        return now >= self.until or self.pace * work > 2 * TRUST

    cpdef object settle(self, double work, double pace, double began, double ended):
        """Enter a call of the team; `pace`: of thread 0, in seconds for a unit of work, INFINITY if it was too late."""
        if pace < INFINITY:
            self.pace = pace
        self.balance = min(self.balance + self.pace * work - (ended - began), TRUST)
        if self.balance == TRUST:
            self.rest = 0
        elif self.balance < -TRUST:
            self.rest = min(max(SHORTEST, 2 * self.rest), LONGEST)
            self.until, self.balance = ended + self.rest, 0
