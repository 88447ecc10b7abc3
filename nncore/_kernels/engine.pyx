"""The engine: runs a compiled program over the batches of a pass, in native code, and can stop anywhere.

`Run.run` trains or evaluates: all threads work on one batch, stage by stage (a stage is what lies between two
barriers), and thread 0 alone decides between stages. It returns to Python with a reason, and goes on where it
stopped when called again. `Run.predict` gives each thread whole tiles of rows, which need no barrier at all.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython.parallel cimport parallel, threadid
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from nncore._kernels cimport dense, elementwise, loss, update
from nncore._kernels.table cimport (
    NN_BATCH_SOURCES, NN_BUFFER_input, NN_BUFFER_norms, NN_BUFFER_output, NN_BUFFER_weight, NN_BUFFER_workspace,
    NN_CHUNK_ROWS, NN_OPERATIONS, NN_OP_activate, NN_OP_activate_backward, NN_OP_add, NN_OP_copy,
    NN_OP_dense_backward_input, NN_OP_dense_backward_weights, NN_OP_dense_forward, NN_OP_dropout, NN_OP_gather,
    NN_OP_loss, NN_OP_metric, NN_OP_multiply, NN_OP_norms, NN_OP_penalty, NN_OP_rescale, NN_OP_softmax,
    NN_OP_softmax_backward, NN_OP_update, Table, View, aligned, nn_chunk, nn_claim, nn_member, nn_op,
    nn_openmp_runtime, nn_prepare_for_forks, nn_region_threads, nn_rule, nn_run, nn_seconds, nn_source,
    nn_team, nn_team_await, nn_team_open, nn_team_reset, nn_tiles, nn_tiles_await, nn_tiles_offer, nn_tiles_reset,
    share, view,
)


def openmp_runtime():
    """File name of the OpenMP runtime that this module calls, or what stands in for it."""
    return nn_openmp_runtime().decode()


if nn_prepare_for_forks():
    raise MemoryError


# Why `run` came back.
cpdef enum:
    END = 0        # the pass is done
    STEPS = 1      # as many steps as asked for are done
    TIME = 2       # the time asked for is up; perhaps within a step
    NEED_DATA = 3  # the caller is to fill the batch
    DIVERGED = 4   # a loss or gradient is not finite; the step was not applied
    BAD_DATA = 5   # a row cannot be converted (`bad` says which); the step was not applied

cdef enum:
    LOOK_FLOPS = 1_000_000   # work between two looks at the clock, each of which costs 1 % of a tiny step

cdef share[<int> NN_OPERATIONS] SHARES
SHARES[<int> NN_OP_gather] = loss.gather
SHARES[<int> NN_OP_dense_forward] = dense.dense_forward
SHARES[<int> NN_OP_dense_backward_input] = dense.dense_backward_input
SHARES[<int> NN_OP_dense_backward_weights] = dense.dense_backward_weights
SHARES[<int> NN_OP_activate] = elementwise.activate
SHARES[<int> NN_OP_activate_backward] = elementwise.activate_backward
SHARES[<int> NN_OP_softmax] = elementwise.softmax
SHARES[<int> NN_OP_softmax_backward] = elementwise.softmax_backward
SHARES[<int> NN_OP_dropout] = elementwise.dropout
SHARES[<int> NN_OP_rescale] = elementwise.rescale
SHARES[<int> NN_OP_add] = elementwise.add
SHARES[<int> NN_OP_multiply] = elementwise.multiply
SHARES[<int> NN_OP_copy] = elementwise.copy
SHARES[<int> NN_OP_loss] = loss.loss
SHARES[<int> NN_OP_metric] = loss.metric
SHARES[<int> NN_OP_penalty] = update.penalty
SHARES[<int> NN_OP_norms] = update.norms
SHARES[<int> NN_OP_update] = update.update


cdef class Run:
    """The memory of one batch, and the place in a pass over the data.

    Parameters
    ----------
    table : Table
    ops : array of planning.OPERATION
        The program.
    update_at : int
        Index of the first operation of the update section; the number of operations if there is none.
    workspace : int
        Bytes of activations and gradients for `max_samples` samples.
    max_samples : int
        Largest batch (or tile of rows of a prediction).
    threads : int
        Most threads to use.
    n_sums : int
        Losses, metrics and penalties that are summed.
    chunks : array of state.CHUNK, optional
        Runs of parameters.
    n_out : int
        Elements of the output per sample, for `predict`.
    tiled : bool
        For `predict`: each thread has a workspace of its own.
    """

    cdef nn_run r
    cdef nn_team *team
    cdef int64_t n_ops, update_at, n_out, max_samples, max_threads, copies, workspace
    cdef int64_t op, stage_first, stage_last   # next operation; those of the open stage
    cdef int64_t batch, steps_left, tile
    cdef double deadline, work
    cdef int reason
    cdef bint step_ready
    cdef dict held
    cdef object table, ops_held, chunks_held
    cdef int64_t[3] copy_bytes

    def __cinit__(self, Table table, ops, *, int64_t update_at, int64_t workspace, int64_t max_samples,
                  int threads, int64_t n_sums=0, chunks=None, int64_t n_out=0, bint tiled=False):
        cdef View vops = view(ops), vchunks
        memset(&self.r, 0, sizeof(nn_run))
        self.held = {}
        self.table, self.ops_held = table, vops
        self.r.table = table.c
        self.r.ops = <const nn_op *> vops.data
        self.n_ops = vops.buffer.len // <Py_ssize_t> sizeof(nn_op)
        self.update_at, self.workspace, self.max_samples = update_at, workspace, max_samples
        self.max_threads, self.n_out = threads, n_out
        self.copies = threads if tiled else 1
        self.r.threads = threads
        self.r.n_sums = n_sums
        if chunks is not None:
            vchunks = view(chunks)
            self.chunks_held = vchunks
            self.r.chunks = <const nn_chunk *> vchunks.data
            self.r.n_chunks = vchunks.buffer.len // <Py_ssize_t> sizeof(nn_chunk)
        self.r.max_partials = max(self.r.n_chunks, (max_samples + NN_CHUNK_ROWS - 1) // NN_CHUNK_ROWS)
        self.r.scratch_bytes = <int64_t> table.c.gemm_scratch
        self.team = <nn_team *> aligned(sizeof(nn_team))
        self.r.tiles = <nn_tiles *> aligned(max(1, self.n_ops) * threads * sizeof(nn_tiles))
        self.r.scratch = <char *> aligned(threads * self.r.scratch_bytes)
        self.r.base[<int> NN_BUFFER_norms] = <char *> aligned(self.r.n_chunks * sizeof(double))
        self.r.partial = <double *> aligned(n_sums * self.r.max_partials * sizeof(double))
        self.r.base[<int> NN_BUFFER_workspace] = <char *> aligned(self.copies * workspace)
        self.r.bad_row = -1

    def __dealloc__(self):
        cdef int i
        free(self.team)
        free(self.r.tiles)
        free(self.r.scratch)
        free(self.r.base[<int> NN_BUFFER_norms])
        free(self.r.partial)
        free(self.r.base[<int> NN_BUFFER_workspace])
        for i in range(NN_BATCH_SOURCES):
            free(self.r.source[i].copy)

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

    def bind_rule(self, rule, double clipnorm):
        """Let the optimizer's rule be the float64 array `rule`, read at every update."""
        cdef View v = view(rule, None, True)
        if v.buffer.len != sizeof(nn_rule):
            raise ValueError("rule: expected one float64 per field of nn_rule")
        self.held["rule"] = v
        self.r.rule = <nn_rule *> v.data
        self.r.clipnorm = clipnorm

    def bind_random(self, uint64_t seed, steps):
        """Let dropout be keyed by `seed` and the int64 array `steps` (1), which counts the training steps."""
        cdef View v = view(steps, None, True)
        self.held["steps"] = v
        self.r.seed = seed
        self.r.step = <int64_t *> v.data

    def bind_sums(self, sums):
        """Let the pass's sums be the float64 array `sums` (n_sums, 2) of values and weights."""
        cdef View v = view(sums, None, True)
        if v.buffer.len < <Py_ssize_t> (2 * self.r.n_sums * sizeof(double)):
            raise ValueError("sums: expected two float64 per sum")
        self.held["sums"] = v
        self.r.sums = <double *> v.data

    def source(self, int which, owner, *, uint64_t address=0, int64_t stride=0, int64_t type=0, int64_t n=0,
               int64_t classes=0, bint in_place=False):
        """Let source `which` (0: x, 1: y, 2: sample weight) be the memory at `address`, which `owner` keeps alive.

        Rows of `n` elements of SOURCES `type` lie `stride` bytes apart; `classes` > 0 makes them int32 labels;
        `in_place` says that operations may read the rows where they are. `address` 0 and n > 0: the caller fills
        `staging(which)` before each step; n = 0: absent.
        """
        cdef nn_source *s = &self.r.source[which]
        cdef int64_t need = self.copies * self.max_samples * n * (4 if classes else self.r.table.itemsize)
        self.held["source", which] = owner
        s.data = <const char *> <size_t> address
        s.stride, s.type, s.n, s.classes, s.in_place = stride, type, n, classes, in_place
        if not in_place and need > self.copy_bytes[which]:
            free(s.copy)
            s.copy = NULL
            self.copy_bytes[which] = 0
            s.copy = aligned(need)
            self.copy_bytes[which] = need

    def staging(self, int which):
        """The memory that holds the batch of source `which` when the caller fills it."""
        cdef nn_source *s = &self.r.source[which]
        cdef int64_t size = self.max_samples * s.n * (4 if s.classes else self.r.table.itemsize)
        return (<char[:size]> <char *> s.copy) if size else None

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
        self.r.rows, self.batch, self.r.row, self.op = rows, batch, row, 0
        self.step_ready = False

    def forget(self):
        """Let go of the data; the memory of a batch stays."""
        cdef int i
        for i in range(NN_BATCH_SOURCES):
            self.held.pop(("source", i), None)
            self.r.source[i].data = NULL
            self.r.source[i].n = 0
        self.held.pop("order", None)
        self.r.order = NULL
        self.r.rows = self.r.row = 0

    def abandon(self):
        """Forget an unfinished step; it has changed no parameter."""
        self.op = 0
        self.step_ready = False

    @property
    def row(self):
        """Rows of the pass that are done."""
        return self.r.row

    @property
    def bad(self):
        """(source, row) of a row that could not be converted."""
        return self.r.bad_source, self.r.bad_row

    def data_ready(self):
        """The caller has filled the batch."""
        self.step_ready = True

    def run(self, int64_t steps=-1, double seconds=0, int threads=0):
        """Run until the pass ends, or something needs Python.

        Parameters
        ----------
        steps : int
            Come back after so many steps; −1: no limit.
        seconds : float
            Come back after about so many seconds; 0: no limit.
        threads : int
            Of this call, up to the run's own number; 0: that number.

        Returns
        -------
        int
            END, STEPS, TIME, NEED_DATA, DIVERGED or BAD_DATA.
        """
        cdef int64_t i
        threads = <int> min(threads, self.max_threads) if threads else <int> self.max_threads
        self.steps_left = steps
        self.deadline = nn_seconds() + seconds if seconds else 0
        self.work = LOOK_FLOPS
        self.r.bad_row = -1
        nn_team_reset(self.team)
        nn_tiles_reset(self.r.tiles, <int> (self.n_ops * threads))  # stages count from 1 again
        if threads == 1:
            with nogil:
                self.r.threads = 1
                self.drive()
        else:
            with nogil, parallel(num_threads=threads):
                if threadid() == 0:
                    self.r.threads = nn_region_threads()
                    self.drive()
                else:
                    self.follow(threadid())
        return self.reason

    cdef void follow(self, int thread) noexcept nogil:
        """What threads other than 0 do: their shares of each stage that thread 0 opens."""
        cdef nn_member me
        me.thread, me.threads, me.stage, me.tile = thread, nn_region_threads(), 0, -1
        while True:
            me.stage = nn_team_await(self.team, me.stage)
            if self.team.leaving:
                return
            self.take_part(&me)

    cdef int64_t stage_end(self) noexcept nogil:
        cdef int64_t end = self.op + 1
        while end < self.n_ops and not self.r.ops[end].barrier:
            end += 1
        return end

    cdef void take_part(self, nn_member *me) noexcept nogil:
        """Do shares of the stage's operations; one that comes late sees those of a later stage, and gets no tile."""
        cdef int64_t i
        for i in range(self.stage_first, self.stage_last):
            SHARES[self.r.ops[i].kind](&self.r.ops[i], &self.r, i, me)

    cdef void drive(self) noexcept nogil:
        """Thread 0: the loop over steps and stages."""
        cdef int64_t i, end
        cdef bint alone = self.r.threads == 1
        cdef nn_member me
        me.thread, me.threads, me.stage, me.tile = 0, <int> self.r.threads, 0, -1
        while True:
            if self.op == 0 and not self.begin_step():
                break
            end = self.stage_end()
            self.stage_first, self.stage_last = self.op, end
            if self.op >= self.update_at and self.r.ops[end - 1].kind == NN_OP_update:
                self.r.rule.step += 1
            if alone:
                self.take_part(&me)
            else:
                me.stage += 1
                nn_tiles_offer(&self.r.tiles[self.op * me.threads], <int> (end - self.op) * me.threads, me.stage)
                nn_team_open(self.team, me.stage)
                self.take_part(&me)
                for i in range(self.op, end):
                    nn_tiles_await(&self.r.tiles[i * me.threads], me.threads)
            for i in range(self.op, end):
                self.work += <double> self.r.ops[i].cost * self.r.samples
            self.op = end
            if self.r.bad_row >= 0:
                self.reason = BAD_DATA
                break
            if end == self.update_at and not self.close_sums():
                self.reason = DIVERGED
                break
            if end == self.n_ops:
                self.end_step()
            elif end < self.update_at and self.late():  # beyond, the sums have the step
                self.reason = TIME
                break
        if not alone:
            self.team.leaving = 1
            nn_team_open(self.team, me.stage + 1)

    cdef bint late(self) noexcept nogil:
        """Whether the time is up, as far as the last look at the clock tells."""
        if not self.deadline or self.work < LOOK_FLOPS:
            return False
        self.work = 0
        return nn_seconds() > self.deadline

    cdef bint begin_step(self) noexcept nogil:
        """Point the buffers at the next batch; False, with a reason, where there is no next step now."""
        cdef int i
        cdef int64_t samples
        cdef nn_source *s
        if self.r.row >= self.r.rows:
            self.reason = END
            return False
        if self.steps_left == 0:
            self.reason = STEPS
            return False
        if self.late():
            self.reason = TIME
            return False
        for i in range(NN_BATCH_SOURCES):
            s = &self.r.source[i]
            if s.n and s.data == NULL and not self.step_ready:
                self.reason = NEED_DATA
                return False
            self.r.base[<int> NN_BUFFER_input + i] = (
                <char *> s.data + self.r.row * s.stride if s.in_place else <char *> s.copy) if s.n else NULL
        samples = min(self.batch, self.r.rows - self.r.row)
        if samples != self.r.samples and self.r.threads > 1:  # a late thread would count the tiles of another batch
            nn_tiles_offer(self.r.tiles, <int> (self.n_ops * self.r.threads), 0)
        self.r.samples = samples
        self.r.nonfinite = 0
        return True

    cdef bint close_sums(self) noexcept nogil:
        """Add the step's chunks to the sums, in order; False if a step that would update is not finite."""
        cdef int64_t i, k, n
        cdef const nn_op *op
        cdef double *out
        cdef const double *partial
        cdef bint finite = True
        for i in range(self.n_ops):
            op = &self.r.ops[i]
            if op.kind != NN_OP_loss and op.kind != NN_OP_metric and op.kind != NN_OP_penalty:
                continue
            out = self.r.sums + 2 * op.slot
            partial = self.r.partial + op.slot * self.r.max_partials
            n = self.r.n_chunks if op.kind == NN_OP_penalty else (self.r.samples + NN_CHUNK_ROWS - 1) // NN_CHUNK_ROWS
            for k in range(n):
                out[0] += partial[k] * (self.r.samples if op.kind == NN_OP_penalty else 1)
                if op.kind != NN_OP_metric and not isfinite(partial[k]):
                    finite = False
            out[1] += self.batch_weight() if op.kind == NN_OP_metric and op.arg[2].buffer else self.r.samples
        return self.update_at == self.n_ops or (finite and not self.r.nonfinite)

    cdef double batch_weight(self) noexcept nogil:
        cdef const char *w = self.r.base[<int> NN_BUFFER_weight]
        cdef double total = 0
        cdef int64_t i
        for i in range(self.r.samples):
            total += (<const float *> w)[i] if self.r.table.itemsize == 4 else (<const double *> w)[i]
        return total

    cdef void end_step(self) noexcept nogil:
        if self.update_at < self.n_ops:
            self.r.step[0] += 1
        self.r.row += self.r.samples
        self.steps_left -= 1
        self.op = 0
        self.step_ready = False

    def predict(self, int64_t tile, double seconds=0):
        """Run the program over the rest of the pass, each thread taking tiles of at most `tile` rows.

        Returns
        -------
        int
            END, TIME or BAD_DATA.
        """
        cdef int64_t tiles = (self.r.rows - self.r.row + tile - 1) // tile
        cdef int threads = <int> min(self.max_threads, tiles)
        self.tile = tile
        self.deadline = nn_seconds() + seconds if seconds else 0
        self.r.bad_row = -1
        nn_tiles_reset(self.r.tiles, 1)
        if threads <= 1:
            with nogil:
                self.tiles_of(0)
        else:
            with nogil, parallel(num_threads=threads):
                self.tiles_of(threadid())
        self.r.row = min(self.r.rows, self.r.row + min(nn_claim(self.r.tiles), tiles) * tile)
        if self.r.bad_row >= 0:
            return BAD_DATA
        return END if self.r.row >= self.r.rows else TIME

    def call(self, x, out, int64_t rows):
        """Predict `rows` rows on the calling thread: the shortest way; False where x is not as it has to be.

        `x` (rows,·) is an array of the table's type, which has to be aligned and C-contiguous, and `out` one that is;
        `tiled` runs only.
        """
        cdef Py_buffer given, made
        try:
            PyObject_GetBuffer(x, &given, PyBUF_SIMPLE)
        except (BufferError, ValueError):
            return False
        if <size_t> given.buf % <size_t> self.r.table.itemsize:
            PyBuffer_Release(&given)
            return False
        try:
            PyObject_GetBuffer(out, &made, PyBUF_WRITABLE)
        except:
            PyBuffer_Release(&given)
            raise
        self.r.source[0].data = <const char *> given.buf
        self.r.source[0].stride = given.len // rows if rows else 0
        self.r.source[0].in_place = 1
        self.r.base[<int> NN_BUFFER_output] = <char *> made.buf
        self.r.rows, self.r.row, self.r.bad_row, self.tile, self.deadline = rows, 0, -1, self.max_samples, 0
        nn_tiles_reset(self.r.tiles, 1)
        with nogil:
            self.tiles_of(0)
        self.r.source[0].data = NULL
        self.r.base[<int> NN_BUFFER_output] = NULL
        PyBuffer_Release(&given)
        PyBuffer_Release(&made)
        return True

    cdef void tiles_of(self, int thread) noexcept nogil:
        """Take tiles of rows through the whole program, alone."""
        cdef nn_run mine = self.r
        cdef int64_t i, row, size = self.r.table.itemsize
        cdef nn_source *s
        cdef nn_member me
        me.thread, me.threads, me.stage, me.tile = thread, 1, 0, -1
        mine.threads = 1
        mine.base[<int> NN_BUFFER_workspace] = self.r.base[<int> NN_BUFFER_workspace] + thread * self.workspace
        s = &mine.source[0]
        if not s.in_place:
            s.copy = <char *> s.copy + thread * self.max_samples * s.n * size
        while not (self.deadline and nn_seconds() > self.deadline):
            row = self.r.row + nn_claim(self.r.tiles) * self.tile
            if row >= self.r.rows:
                return
            mine.row, mine.samples = row, min(self.tile, self.r.rows - row)
            mine.base[<int> NN_BUFFER_input] = <char *> s.data + row * s.stride if s.in_place else <char *> s.copy
            mine.base[<int> NN_BUFFER_output] = self.r.base[<int> NN_BUFFER_output] + row * self.n_out * size
            for i in range(self.n_ops):
                SHARES[self.r.ops[i].kind](&self.r.ops[i], &mine, i, &me)
            if mine.bad_row >= 0:
                self.r.bad_row, self.r.bad_source = mine.bad_row, mine.bad_source
                return
