"""What every run of a program has: its memory and its bindings."""

from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from nncore._kernels.gate cimport Gate
from nncore._kernels.patterns cimport perform, perform_chain
from nncore._kernels.table cimport (
    NN_BAD_PLACES, NN_BINDINGS, NN_BUFFER_binding, NN_BUFFER_local, NN_BUFFER_measures, NN_BUFFER_norms,
    NN_BUFFER_workspace, NN_NONE_BAD, NN_RULES, Table, View, aligned, nn_accumulator, nn_ahead, nn_binding,
    nn_chunk, nn_distant, nn_local, nn_member, nn_moving, nn_op, nn_parts, nn_run, nn_scheduled, nn_section, nn_tiles,
    nn_turn, room, row_of, view,
)
from nncore._kernels.table import NUMBERS_BYTES


cdef class Memory:
    """Bytes of a run's buffer, which lives as long as these are looked at, as an array does that is bound to it."""

    cdef Run run
    cdef object bound
    cdef char *data
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.size, False, flags)


cdef class Run:
    """The memory of a batch, and the place in a pass over the data.

    Parameters
    ----------
    table : Table
    ops : array of nn_op, as compiler.encoding makes it
        The program.
    sections, moving : array of encoding.SECTION, of encoding.MOVING_OPERAND
        Its parts, and what moves in those that are loops.
    workspace : int
        Bytes of activations and gradients for `max_samples` samples.
    local_bytes : int, optional
        Bytes of each thread for the samples that a chain is at.
    local_operands : array of encoding.LOCAL_OPERAND, optional
        The operands that lie there.
    distant : array of encoding.DISTANT, optional
        What chains touch of other tensors.
    max_samples : int
        Largest batch (or tile of rows of a prediction).
    threads : int
        Most threads to use.
    bindings : int
        Arrays of the caller's that it reads, or writes, row by row.
    accumulators : array of encoding.ACCUMULATOR, optional
        Losses, metrics and penalties that are summed; their places among this step's parts are settled here.
    chunks : array of state.CHUNK, optional
        Runs of parameters.
    copies : int
        Workspaces: one for the team, or one for each thread.
    """

    def __cinit__(self, Table table, ops, *, sections, moving, int64_t workspace, int64_t max_samples,
                  int threads, int64_t bindings, int64_t local_bytes=0, local_operands=None, distant=None,
                  accumulators=None, chunks=None, int64_t copies=1):
        cdef View vops = view(ops), vchunks
        cdef int64_t i, n_partials = 0
        memset(&self.r, 0, sizeof(nn_run))
        self.held = {}
        self.table, self.ops_held = table, vops
        self.r.table = table.c
        self.r.ops = <const nn_op *> vops.data
        self.n_ops = vops.buffer.len // <Py_ssize_t> sizeof(nn_op)
        self.sections_held, self.moving_held = view(sections), view(moving)
        self.sections = <const nn_section *> self.sections_held.data
        self.moving = <const nn_moving *> self.moving_held.data
        self.n_sections = self.sections_held.buffer.len // <Py_ssize_t> sizeof(nn_section)
        self.workspace, self.max_samples = workspace, max_samples
        self.max_threads, self.copies = threads, copies
        self.r.threads = threads
        if bindings > NN_BINDINGS:
            raise ValueError(f"bindings: expected at most {NN_BINDINGS}, got {bindings}")
        self.r.n_bindings = bindings
        self.r.bindings = <nn_binding *> aligned(bindings * sizeof(nn_binding))
        self.copy_bytes = <int64_t *> aligned(bindings * sizeof(int64_t))
        if chunks is not None:
            vchunks = view(chunks)
            self.chunks_held = vchunks
            self.r.chunks = <const nn_chunk *> vchunks.data
            self.r.n_chunks = vchunks.buffer.len // <Py_ssize_t> sizeof(nn_chunk)
        if accumulators is not None:
            self.take_accumulators(view(accumulators))
        for i in range(self.r.n_accumulators):
            self.accumulators[i].partial = n_partials
            n_partials += self.accumulators[i].size * nn_parts(&self.r, &self.accumulators[i], max_samples)
        self.r.local_from = <int64_t> table.c.scratch
        self.r.ahead_from = self.r.local_from + local_bytes
        self.r.scratch_bytes = self.r.ahead_from + <int64_t> sizeof(nn_ahead)
        if local_operands is not None:
            self.locals_held = view(local_operands)
            self.r.locals = <const nn_local *> self.locals_held.data
        if distant is not None:
            self.distant_held = view(distant)
            self.r.distant = <const nn_distant *> self.distant_held.data
        self.r.tiles = <nn_tiles *> aligned(max(1, self.n_ops) * threads * sizeof(nn_tiles))
        self.r.scratch = self.r.base[<int> NN_BUFFER_local] = <char *> room(threads * self.r.scratch_bytes)
        for i in range(threads):
            memset(self.r.scratch + i * self.r.scratch_bytes + self.r.ahead_from, 0, sizeof(nn_ahead))
        self.r.base[<int> NN_BUFFER_norms] = <char *> aligned(2 * self.r.n_chunks * sizeof(double))
        self.r.base[<int> NN_BUFFER_measures] = <char *> aligned(2 * self.r.n_chunks * sizeof(double))
        self.r.partial = <double *> aligned(n_partials * sizeof(double))
        self.r.base[<int> NN_BUFFER_workspace] = <char *> aligned(self.copies * workspace)
        self.r.bad = NN_NONE_BAD
        self.r.undivided = threads == 1

    def __dealloc__(self):
        cdef int i
        free(self.r.tiles)
        free(self.r.scratch)
        free(self.r.base[<int> NN_BUFFER_norms])
        free(self.r.base[<int> NN_BUFFER_measures])
        free(self.r.partial)
        free(self.accumulators)
        free(self.scheduled)
        free(self.r.base[<int> NN_BUFFER_workspace])
        for i in range(<int> self.r.n_bindings):
            free(self.r.bindings[i].copy)
        free(self.r.bindings)
        free(self.copy_bytes)

    cdef object take_accumulators(self, View given):
        """Have accumulators of the run's own."""
        self.r.n_accumulators = given.buffer.len // <Py_ssize_t> sizeof(nn_accumulator)
        self.accumulators = <nn_accumulator *> aligned(given.buffer.len)
        memcpy(self.accumulators, given.data, given.buffer.len)
        self.r.accumulators = self.accumulators

    def bind(self, int buffer, array, bint writable=True):
        """Let `buffer` be the memory of `array`, which is held; None: no memory."""
        cdef View v
        if array is None:
            self.held.pop(buffer, None)
            self.r.base[buffer] = NULL
            return
        v = view(array, None, writable)
        self.held[buffer] = v
        self.r.base[buffer] = v.data

    def bind_gate(self, Gate gate not None):
        """Let `gate` stand before the parameters: training writes and predictions read through it."""
        self.gate = gate
        self.r.gate = gate.c

    def bind_optimizer(self, int which, str name, numbers, updates, double clip_value, double clipnorm):
        """Let the update be that of an optimizer; `which`: its number, if there are several.

        `numbers` are its own hyper-parameters, as NUMBERS[name] describes them; the int64 array `updates` (2), the same
        for all, counts its steps, and those since then whose gradients are summed.
        """
        cdef View v = view(numbers)
        if v.buffer.len != NUMBERS_BYTES[name]:
            raise ValueError(f"numbers: expected the struct of {name}")
        if not 0 <= which < NN_RULES:
            raise ValueError(f"which: expected 0 … {NN_RULES - 1}, got {which}")
        self.held["numbers", which] = v
        self.r.optimizers[which].numbers = v.data
        self.r.optimizers[which].clip_value, self.r.optimizers[which].clipnorm = clip_value, clipnorm
        self.bind_updates(updates)

    def bind_updates(self, updates):
        """Let the int64 array `updates` (2) count the updates, and the steps since then whose gradients are summed."""
        cdef View u = view(updates, None, True)
        if u.buffer.len != 2 * sizeof(int64_t):
            raise ValueError("updates: expected two int64")
        self.held["updates"], self.r.updates = u, <int64_t *> u.data

    def bind_schedules(self, int64_t first, int64_t end, list arrays):
        """Let these float64 arrays hold the values for updates first … end − 1, or one for all of them.

        They are those of SCHEDULED, then those that the program's operations know by OWN_SCHEDULED and so on.
        """
        cdef View v
        cdef list held = [view(array) for array in arrays]
        cdef Py_ssize_t i
        cdef nn_scheduled *scheduled
        for v in held:
            if v.itemsize != sizeof(double) or v.size not in (1, end - first):
                raise ValueError(f"schedules: expected 1 or {end - first} float64, got {v.size}")
        scheduled = <nn_scheduled *> aligned(len(held) * sizeof(nn_scheduled))
        for i in range(len(held)):
            v = held[i]
            scheduled[i].values, scheduled[i].stride = <const double *> v.data, v.size > 1
        free(self.scheduled)
        self.held["schedules"] = held
        self.r.scheduled = self.scheduled = scheduled
        self.r.scheduled_from, self.r.scheduled_to = first, end

    def bind_random(self, uint64_t seed, steps):
        """Let dropout be keyed by `seed` and the int64 array `steps` (1), which counts the training steps."""
        cdef View v = view(steps, None, True)
        self.held["steps"] = v
        self.r.seed = seed
        self.r.step = <int64_t *> v.data

    def bind_sums(self, sums):
        """Let the pass's sums be the float64 array `sums`: of each accumulator its numbers, then its weight."""
        cdef View v = view(sums, None, True)
        cdef int64_t i, n = 0
        for i in range(self.r.n_accumulators):
            n += self.accumulators[i].width + 1
        if v.buffer.len != <Py_ssize_t> (n * sizeof(double)):
            raise ValueError(f"sums: expected {n} float64, got {v.buffer.len} bytes")
        self.held["sums"] = v
        self.r.sums = <double *> v.data

    def bind_rows(self, int which, array, *, int64_t stride=0, int64_t type=0, int64_t n=0, axes=None, int64_t low=0,
                  int64_t high=0, bint in_place=False):
        """Let binding `which` be `array`, which is held.

        Rows of `n` elements of SOURCES `type` lie `stride` bytes apart, the elements of each as `axes` says: up to 3
        (count, step in bytes), innermost last; None: one after another. `low` < `high` makes them int32 in [low,
        high); `in_place` says that operations may read, or write, the rows where they are. Where `array` is None and
        n > 0, the caller fills `staging(which)` before each step; n = 0: absent.
        """
        cdef nn_binding *s = self.binding(which)
        cdef int64_t need = self.copies * self.max_samples * n * (4 if low < high else self.r.table.itemsize)
        cdef Py_buffer memory
        self.held["rows", which] = array
        s.data = NULL
        if array is not None:
            PyObject_GetBuffer(array, &memory, PyBUF_STRIDES)
            s.data = <char *> memory.buf
            PyBuffer_Release(&memory)
        s.stride, s.type, s.low, s.high, s.in_place = stride, type, low, high, in_place
        s.row = row_of(n, <int> type, axes)
        if not in_place and need > self.copy_bytes[which]:
            free(s.copy)
            s.copy = NULL
            self.copy_bytes[which] = 0
            s.copy = <char *> aligned(need)
            self.copy_bytes[which] = need

    def staging(self, int which):
        """The memory that holds the batch of binding `which` when the caller fills it."""
        cdef nn_binding *s = self.binding(which)
        cdef int64_t size = self.max_samples * s.row.n * (4 if s.low < s.high else self.r.table.itemsize)
        return (<char[:size]> s.copy) if size else None

    cdef nn_binding *binding(self, int which) except NULL:
        if not 0 <= which < self.r.n_bindings:
            raise ValueError(f"which: expected 0 … {self.r.n_bindings - 1}, got {which}")
        return &self.r.bindings[which]

    cdef char *rows_from(self, int which, int64_t row, int thread) noexcept nogil:
        """Where a thread's operations find the rows of a binding from `row` on."""
        cdef nn_binding *s = &self.r.bindings[which]
        if s.in_place:
            return s.data + row * s.stride
        if s.row.n == 0:
            return NULL
        return s.copy + thread * self.max_samples * s.row.n * (4 if s.low < s.high else self.r.table.itemsize)

    def begin(self, int64_t rows, int64_t batch, order=None, int64_t row=0):
        """Start a pass over `rows` rows in batches of `batch`, in the order of the int64 array `order`."""
        cdef View v
        self.r.order = NULL
        self.held.pop("order", None)
        if order is not None:
            v = view(order)
            self.held["order"] = v
            self.r.order = <const int64_t *> v.data
        if not 0 < batch <= self.max_samples:
            raise ValueError(f"batch: expected 1 … {self.max_samples}, got {batch}")
        if not 0 <= row <= rows:
            raise ValueError(f"row: expected 0 … {rows}, got {row}")
        self.r.rows, self.batch, self.r.row = rows, batch, row

    def forget(self):
        """Let go of the data; the memory of a batch stays."""
        cdef int i
        for i in range(<int> self.r.n_bindings):
            self.held.pop(("rows", i), None)
            self.r.bindings[i].data = NULL
            self.r.bindings[i].row.n = self.r.bindings[i].in_place = 0
        self.held.pop("order", None)
        self.r.order = NULL
        self.r.rows = self.r.row = 0

    def memory(self, int buffer, int64_t offset, int64_t size):
        """`size` bytes of a buffer, as they are between two sections; None where it has no memory."""
        cdef char *base = self.r.base[buffer]
        cdef Memory memory
        if base == NULL or size == 0:
            return None
        memory = Memory.__new__(Memory)
        memory.run, memory.data, memory.size = self, base + offset, size
        memory.bound = self.held.get(("rows", buffer - <int> NN_BUFFER_binding))
        return memory

    @property
    def samples(self):
        """Of the batch at hand."""
        return self.r.samples

    @property
    def row(self):
        """Rows of the pass that are done."""
        return self.r.row

    @property
    def bad(self):
        """(binding, row) of the first row of the pass that could not be converted."""
        which, place = divmod(self.r.bad, NN_BAD_PLACES)
        return which, self.r.order[<int64_t> place] if self.r.order != NULL else place

    cdef void take_part(self, nn_run *run, int64_t first, int64_t last, nn_member *me) noexcept nogil:
        """Do one thread's part of the operations first … last − 1."""
        cdef int64_t i = first
        while i < last:
            if self.r.ops[i].chain > 1:
                perform_chain(&self.r.ops[i], run, i, me)
            else:
                perform(&self.r.ops[i], run, i, me)
            i += self.r.ops[i].chain

    cdef void take_all(self, nn_run *run, nn_member *me) noexcept nogil:
        """Do all sections, on one thread."""
        cdef int64_t i, turn
        cdef const nn_section *s
        for i in range(self.n_sections):
            s = &self.sections[i]
            for turn in range(s.turns):
                if s.n_moving:
                    nn_turn(run, s, self.moving, turn if s.step > 0 else s.turns - 1 - turn)
                self.take_part(run, s.first, s.end, me)
