"""The gate before a model's state: whoever reads it sees what is true between two steps (see src_c/core/gate.h)."""

import os
from threading import get_ident
from weakref import WeakSet

from cpython.exc cimport PyErr_CheckSignals
from libc.stdlib cimport free

from nncore._kernels.table cimport (
    aligned, nn_gate, nn_gate_await, nn_gate_end_read, nn_gate_end_write, nn_gate_read, nn_gate_read_again,
    nn_gate_reset, nn_gate_write,
)

cdef double PATIENCE = 0.05      # seconds between two looks at signals
cdef double FORK_PATIENCE = 1.0  # seconds for which a fork waits for an update


cdef class Gate:
    """Many readers or one writer of a model's state. A thread that reads may read again, and write.

    Engines pass it by themselves, for each update and each prediction of few rows; ``with gate.reading():`` is for what
    takes longer, ``with gate.writing():`` for what Python writes.
    """

    def __cinit__(self):
        self.c = <nn_gate *> aligned(sizeof(nn_gate))
        self.reads = {}   # thread → reads that it is in the middle of

    def __init__(self):
        alive.add(self)

    def __dealloc__(self):
        free(self.c)

    def __reduce__(self):
        return Gate, ()

    cpdef int own(self):
        """Reads that the calling thread is in the middle of."""
        return self.reads.get(get_ident(), 0) if self.reads else 0

    cdef bint enter(self, double seconds):
        """Begin to read within `seconds`; False if a writer was in all that time."""
        cdef int own = self.own()
        cdef bint entered = True
        if own:
            nn_gate_read_again(self.c)
        elif not nn_gate_read(self.c):
            with nogil:
                entered = nn_gate_await(self.c, seconds)
        if entered:
            self.reads[get_ident()] = own + 1
        return entered

    cdef leave(self):
        """End a read that `enter` began."""
        cdef int own = self.own() - 1
        if own:
            self.reads[get_ident()] = own
        else:
            del self.reads[get_ident()]
        nn_gate_end_read(self.c)

    def reading(self):
        """A context within which nobody else writes."""
        return Passage(self, False)

    def writing(self):
        """A context within which nobody else reads or writes."""
        return Passage(self, True)

    cdef survive(self):
        """In a child of fork, be free but for what the thread that forked is in the middle of."""
        cdef int own = self.own()
        nn_gate_reset(self.c, own)
        self.reads = {get_ident(): own} if own else {}


cdef class Passage:
    """What `Gate.reading` and `Gate.writing` return."""

    cdef Gate gate
    cdef bint writes

    def __cinit__(self, Gate gate, bint writes):
        self.gate, self.writes = gate, writes

    def __enter__(self):
        cdef int own = self.gate.own()
        cdef bint entered = False
        while not entered:
            if self.writes:
                with nogil:
                    entered = nn_gate_write(self.gate.c, own, PATIENCE)
            else:
                entered = self.gate.enter(PATIENCE)
            if not entered:
                PyErr_CheckSignals()

    def __exit__(self, *error):
        if self.writes:
            nn_gate_end_write(self.gate.c)
        else:
            self.gate.leave()


alive = WeakSet()
cdef dict forking = {}   # thread that forks → gates that it has entered


def before_fork():
    """Let a child find every model between two steps, unless an update takes very long."""
    cdef Gate gate
    cdef list entered = forking.setdefault(get_ident(), [])
    for gate in list(alive):
        if gate.enter(FORK_PATIENCE):
            entered.append(gate)


def after_fork_in_parent():
    """Let updates go on."""
    cdef Gate gate
    for gate in forking.pop(get_ident(), ()):
        gate.leave()


def after_fork_in_child():
    """Forget the threads that are not there."""
    cdef Gate gate
    after_fork_in_parent()
    forking.clear()
    for gate in list(alive):
        gate.survive()


os.register_at_fork(before=before_fork, after_in_parent=after_fork_in_parent, after_in_child=after_fork_in_child)
