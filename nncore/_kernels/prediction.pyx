"""Prediction: a program run over rows, tiles of which each thread takes through all operations, without barriers."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython.parallel cimport parallel, threadid
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free

from nncore._kernels.ledger cimport Ledger
from nncore._kernels.run cimport Run
from nncore._kernels.table cimport (
    NN_BUFFER_binding, NN_BUFFER_workspace, NN_NONE_BAD, aligned, nn_binding, nn_claim, nn_core, nn_float_mode,
    nn_float_mode_enter, nn_float_mode_leave, nn_gate_end_read, nn_gate_read, nn_leave_core, nn_member, nn_note_bad,
    nn_put_base, nn_put_batch, nn_put_cut, nn_region_threads, nn_run, nn_run_copy, nn_seconds, nn_tiles_leave,
    nn_tiles_reset,
)
from nncore._kernels.threads cimport team_size

from nncore._kernels.engine import BAD_DATA, END, TIME


cdef bint copy_within(const volatile int32_t *x, int64_t n, limits, int32_t *y) except -1:
    """y ← x as far as low ≤ x < high; whether all are. Each is read once: other threads may write to it."""
    cdef int64_t i, low, high
    cdef int32_t value
    low, high = limits
    for i in range(n):
        value = x[i]
        if not low <= value < high:
            return False
        y[i] = value
    return True


cdef class Prediction(Run):
    """A run whose threads have a workspace each: `copies` must be `threads`."""

    cdef Ledger ledger
    cdef int64_t tile
    cdef double deadline
    cdef Py_buffer *memory  # of the bindings of a call
    cdef public list limits  # of a call, for each input: None, where it is of the table's type, or (low, high) of int32

    def __cinit__(self, *args, **settings):
        if self.copies != self.max_threads:
            raise ValueError(f"copies: expected {self.max_threads}, one for each thread, got {self.copies}")
        self.ledger = Ledger()

    def __dealloc__(self):
        free(self.memory)

    def predict(self, int64_t tile, double seconds=0):
        """Run the program over the rest of the pass in tiles of at most `tile` rows; alone if a team has not paid.

        Returns
        -------
        int
            END, TIME or BAD_DATA.
        """
        cdef int64_t tiles = (self.r.rows - self.r.row + tile - 1) // tile
        cdef int64_t before = self.r.row
        cdef int core, threads = <int> min(self.max_threads, tiles)
        cdef double began = nn_seconds(), pace = INFINITY
        self.tile = tile
        self.deadline = began + seconds if seconds else 0
        self.r.bad = NN_NONE_BAD
        nn_tiles_reset(self.r.tiles, 1)
        if threads > 1 and not self.ledger.pays(self.r.rows - before, began):
            threads = 1
        if threads > 1:
            threads = team_size(threads)
        if threads <= 1:
            with nogil:
                self.tiles_of(0, NULL)
        else:
            core = nn_core()
            with nogil, parallel(num_threads=threads):
                if threadid() > 0:
                    nn_leave_core(core)
                self.tiles_of(threadid(), &pace)
                nn_tiles_leave(self.r.tiles, threadid(), nn_region_threads())
        self.r.row = min(self.r.rows, before + min(nn_claim(self.r.tiles), tiles) * tile)
        if threads > 1:
            self.ledger.settle(self.r.row - before, pace, began, nn_seconds())
        if self.r.bad != NN_NONE_BAD:
            return BAD_DATA
        return END if self.r.row >= self.r.rows else TIME

    def call(self, list arrays):
        """Predict rows on the calling thread: the shortest way; False where an input is not as it has to be, or a
        training step is writing the weights.

        `arrays`, (rows,·): of each binding one, the inputs first, which have to be aligned and C-contiguous.
        """
        cdef Py_ssize_t i, inputs = len(self.limits), rows = len(arrays[0]), lent = 0
        if self.memory == NULL:
            self.memory = <Py_buffer *> calloc(self.r.n_bindings, sizeof(Py_buffer))
            if self.memory == NULL:
                raise MemoryError()
        try:
            for i in range(self.r.n_bindings):
                PyObject_GetBuffer(arrays[i], &self.memory[i], PyBUF_SIMPLE if i < inputs else PyBUF_WRITABLE)
                lent += 1
                self.lend(i, rows)
                if i < inputs and not (self.is_aligned(i) if self.limits[i] is None else self.copy(i)):
                    return False
            if self.r.gate != NULL and not nn_gate_read(self.r.gate):
                return False
            nn_put_batch(&self.r, 0, 0)
            self.r.rows = rows
            self.tile, self.deadline = self.max_samples, 0
            nn_tiles_reset(self.r.tiles, 1)
            with nogil:
                self.tiles_of(0, NULL)
            if self.r.gate != NULL:
                nn_gate_end_read(self.r.gate)
            return True
        except (BufferError, ValueError):
            return False
        finally:
            for i in range(lent):
                self.r.bindings[i].data = NULL
                PyBuffer_Release(&self.memory[i])

    cdef inline void lend(self, Py_ssize_t which, Py_ssize_t rows) noexcept:
        """Let a binding be memory that holds whole rows, one after another, for the time of a call."""
        cdef nn_binding *s = &self.r.bindings[which]
        s.data, s.in_place = <char *> self.memory[which].buf, 1
        s.stride = self.memory[which].len // rows if rows else 0

    cdef inline bint is_aligned(self, Py_ssize_t which) noexcept:
        """Whether operations can read reals where they are."""
        return <size_t> self.memory[which].buf % <size_t> self.r.table.itemsize == 0

    cdef bint copy(self, Py_ssize_t which) except -1:
        """Copy whole numbers to the binding's memory, which never holds others than those within its limits."""
        cdef nn_binding *s = &self.r.bindings[which]
        cdef const Py_buffer *given = &self.memory[which]
        if given.len > self.copy_bytes[which]:
            free(s.copy)
            s.copy = NULL
            self.copy_bytes[which] = 0
            s.copy = <char *> aligned(given.len)
            self.copy_bytes[which] = given.len
        s.data = s.copy
        return <size_t> given.buf % 4 == 0 and copy_within(
            <const volatile int32_t *> given.buf, given.len // 4, self.limits[which], <int32_t *> s.copy)

    cdef void tiles_of(self, int thread, double *pace) noexcept nogil:
        """Take tiles of rows through the whole program, alone; `pace`, if wanted: of thread 0's fastest, s per row."""
        cdef nn_run mine
        cdef int64_t row
        cdef int i
        cdef nn_member me
        cdef double began = 0
        cdef nn_float_mode callers = nn_float_mode_enter()
        nn_run_copy(&mine, &self.r)
        me.thread, me.threads, me.stage, me.tile = thread, 1, 0, -1
        mine.threads = 1
        nn_put_cut(&mine, True, 0)
        nn_put_base(&mine, <int> NN_BUFFER_workspace,
                    self.r.base[<int> NN_BUFFER_workspace] + thread * self.workspace)
        while not (self.deadline and nn_seconds() > self.deadline):
            row = self.r.row + nn_claim(self.r.tiles) * self.tile
            if row >= self.r.rows:
                break
            nn_put_batch(&mine, row, min(self.tile, self.r.rows - row))
            for i in range(<int> self.r.n_bindings):
                nn_put_base(&mine, <int> NN_BUFFER_binding + i, self.rows_from(i, row, thread))
            if pace != NULL:
                began = nn_seconds()
            self.take_all(&mine, &me)
            if pace != NULL and thread == 0:
                pace[0] = min(pace[0], (nn_seconds() - began) / mine.samples)
            if mine.bad != NN_NONE_BAD:
                nn_note_bad(&self.r, mine.bad, 0)
                break
        nn_float_mode_leave(callers)
