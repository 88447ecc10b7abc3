"""The engine: runs a compiled program over the batches of a pass, in native code, and can stop anywhere.

`Executor.run` trains or evaluates: all threads work on one batch, stage by stage (a stage is what lies between two
barriers), and thread 0 alone decides between stages. It returns to Python with a reason, and goes on where it
stopped when called again.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport parallel, threadid
from libc.math cimport isfinite
from libc.stdint cimport int64_t
from libc.stdlib cimport free

from nncore._kernels cimport dense
from nncore._kernels.run cimport Run
from nncore._kernels.table cimport (
    NN_BUFFER_binding, NN_NONE_BAD, NN_OP_gather, NN_SECTION_LOOP, NN_SECTION_PYTHON, NN_SECTION_REDUCE,
    NN_SECTION_UPDATE, aligned, nn_accumulator, nn_add_parts, nn_at, nn_binding, nn_core, nn_float_mode,
    nn_float_mode_enter, nn_float_mode_leave, nn_gate_end_write, nn_gate_write, nn_leave_core, nn_member, nn_parts,
    nn_put_base, nn_put_batch, nn_put_cut, nn_region_threads, nn_run, nn_seconds, nn_section, nn_team,
    nn_team_await, nn_team_open, nn_team_reset, nn_tiles_await, nn_tiles_offer, nn_tiles_reset, nn_turn,
)
from nncore._kernels.threads cimport team_size


# Why `Executor.run` and `Prediction.predict` came back.
cpdef enum:
    END = 0        # the pass is done
    STEPS = 1      # as many steps as asked for are done
    TIME = 2       # the time asked for is up; perhaps within a step
    NEED_DATA = 3  # the caller is to fill the batch
    DIVERGED = 4   # a loss or gradient is not finite; the step was not applied
    BAD_DATA = 5   # a row cannot be converted (`bad` says which); the step was not applied
    NEED_VALUES = 6  # the numbers that change by step are used up; the caller is to bind those of the steps ahead
    CALL = 7       # a section that Python computes; then `answer`
    REDUCE = 8     # all gradients are there, to be summed up; then `answer`

cdef enum:
    LOOK_FLOPS = 1_000_000   # work between two looks at the clock, each of which costs 1 % of a tiny step
    LONG_FLOPS = 500_000_000   # of a step whose operations are cut up, to look at signals in between: 3 to 10 ms

cdef double LOOK_SECONDS = 0.05      # between two looks at signals within a long step
cdef double PATIENCE = 0.05          # for which an update waits for those who read the weights


cdef class Executor(Run):
    """A run whose team works on one batch at a time."""

    cdef nn_team *team
    cdef int64_t cost   # FLOPs per sample
    cdef int64_t op, section, turn   # the next operation, its section, the turn of a loop
    cdef int64_t end   # of what is to be done of the section
    cdef bint begun, entered   # a step, the section
    cdef bint answered, applies   # by Python: a section of its own; whether the step updates
    cdef bint judged   # whether `nonfinite` takes account of the sums
    cdef int64_t steps_left
    cdef double deadline, work
    cdef int reason, own_reads
    cdef bint step_ready, trains
    cdef nn_float_mode callers   # of the thread that runs
    cdef object interrupt   # the exception that a signal raised within a step

    def __cinit__(self, *args, **settings):
        cdef size_t parts = 0
        cdef int64_t i, j
        self.team = <nn_team *> aligned(sizeof(nn_team))
        self.r.samples = self.max_samples
        self.r.parts_at = <int64_t *> aligned(self.n_ops * sizeof(int64_t))
        for i in range(self.n_ops if self.max_threads > 1 else 0):
            self.r.parts_at[i] = parts
            parts += dense.parts_bytes(&self.r.ops[i], &self.r)
        self.r.samples = 0
        self.r.parts = <char *> aligned(parts)
        self.cost = 0
        for i in range(self.n_sections):
            for j in range(self.sections[i].first, self.sections[i].end):
                self.cost += self.r.ops[j].cost * self.sections[i].turns
        self.trains = self.n_sections > 0 and self.sections[self.n_sections - 1].kind == NN_SECTION_UPDATE
        self.r.owner, self.r.look = <void *> self, look

    def __dealloc__(self):
        free(self.team)
        free(self.r.parts_at)
        free(self.r.parts)

    def begin(self, int64_t rows, int64_t batch, order=None, int64_t row=0):
        """Start a pass over `rows` rows in batches of `batch`, in the order of the int64 array `order`."""
        Run.begin(self, rows, batch, order, row)
        self.abandon()

    def abandon(self):
        """Forget an unfinished step; it has changed no parameter."""
        self.begun = self.entered = self.answered = self.step_ready = False

    def answer(self, bint applies=True):
        """Python has done its section; `applies`: whether the step's update is to follow."""
        self.answered, self.applies = True, applies

    @property
    def at(self):
        """The section at hand."""
        return self.section

    @property
    def finite(self):
        """Whether the step's loss, penalty and gradients are, at a REDUCE; another process may know better."""
        return not self.r.nonfinite

    @finite.setter
    def finite(self, bint value):
        self.r.nonfinite = not value

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
            END, STEPS, TIME, NEED_DATA, DIVERGED, BAD_DATA, NEED_VALUES, CALL or REDUCE.

        Raises
        ------
        KeyboardInterrupt
            Or what else a signal raises within a long step, which is abandoned.
        """
        cdef int core
        threads = <int> min(threads, self.max_threads) if threads else <int> self.max_threads
        if threads > 1:
            threads = team_size(threads)
        self.steps_left = steps
        self.deadline = nn_seconds() + seconds if seconds else 0
        self.work = LOOK_FLOPS
        self.r.bad = NN_NONE_BAD
        self.r.called_off = False
        self.own_reads = self.gate.own() if self.gate is not None else 0
        nn_team_reset(self.team)
        nn_tiles_reset(self.r.tiles, <int> (self.n_ops * threads))  # stages count from 1 again
        if threads == 1:
            with nogil:
                self.take_place(0, 1, -1)
        else:
            core = nn_core()
            with nogil, parallel(num_threads=threads):
                self.take_place(threadid(), nn_region_threads(), core)
        if self.interrupt is not None:
            self.abandon()
            interrupt, self.interrupt = self.interrupt, None
            raise interrupt
        return self.reason

    cdef void take_place(self, int thread, int threads, int core) noexcept nogil:
        """What one thread does, from its entry to its end; `core`: that of the caller."""
        cdef nn_float_mode callers = nn_float_mode_enter()
        if thread == 0:
            self.r.threads, self.callers = threads, callers
            self.drive()
        else:
            nn_leave_core(core)
            self.follow(thread)
        nn_float_mode_leave(callers)

    cdef void follow(self, int thread) noexcept nogil:
        """What threads other than 0 do: their shares of each stage that thread 0 opens."""
        cdef nn_member me
        me.thread, me.threads, me.stage, me.tile = thread, nn_region_threads(), 0, -1
        while True:
            me.stage = nn_team_await(self.team, me.stage)
            if self.team.leaving:
                return
            self.take_part(&self.r, self.team.first, self.team.last, &me)  # if late: of a later stage, without a tile

    cdef void drive(self) noexcept nogil:
        """Thread 0: the loop over steps, sections and stages."""
        cdef const nn_section *s
        cdef nn_member me
        me.thread, me.threads, me.stage, me.tile = 0, <int> self.r.threads, 0, -1
        self.cut_operations()
        while True:
            if not self.begun and not self.begin_step():
                break
            s = &self.sections[self.section]
            if not self.entered and not self.enter(s):
                break
            if self.op < self.end:
                self.run_stage(&me)
            if self.r.called_off:
                break
            if self.r.bad != NN_NONE_BAD:
                self.reason = BAD_DATA
                break
            if self.op == self.end:
                self.leave(s)
            if self.begun and s.kind != NN_SECTION_UPDATE and self.late():  # in the update, the sums have the step
                self.reason = TIME
                break
        if me.threads > 1:
            self.team.leaving = 1
            nn_team_open(self.team, me.stage + 1, 0, 0)

    cdef inline void run_stage(self, nn_member *me) noexcept nogil:
        """Have the team do the operations up to the next barrier; one thread has no use for these, but for looking
        whether all rows could be converted."""
        cdef int64_t i, first = self.op, end = self.op + 1, cost = 0
        cdef bint alone = self.r.undivided
        while end < self.end and (not self.r.ops[end].barrier or alone and self.r.ops[end - 1].kind != NN_OP_gather):
            end += 1
        if alone:
            self.take_part(&self.r, first, end, me)
        else:
            me.stage += 1
            nn_tiles_offer(&self.r.tiles[first * me.threads], <int> (end - first) * me.threads, me.stage)
            nn_team_open(self.team, me.stage, first, end)
            self.take_part(&self.r, first, end, me)
            for i in range(first, end):
                nn_tiles_await(&self.r.tiles[i * me.threads], me.threads)
        for i in range(first, end):
            cost += self.r.ops[i].cost
        self.work += <double> cost * self.r.samples
        self.op = end

    cdef bint enter(self, const nn_section *s) noexcept nogil:
        """Begin a section; False, with a reason, if Python is to do something first."""
        if s.kind == NN_SECTION_PYTHON or s.kind == NN_SECTION_REDUCE:
            if not self.answered:
                self.reason = CALL if s.kind == NN_SECTION_PYTHON else REDUCE
                if s.kind == NN_SECTION_REDUCE:
                    self.judge()
                return False
            self.answered = False
        elif s.kind == NN_SECTION_UPDATE and self.applies:
            if not self.begin_update():
                return False
        elif s.kind == NN_SECTION_UPDATE and not self.close_sums():
            self.reason = DIVERGED
            return False
        self.entered, self.turn = True, 0
        self.op, self.end = s.first, s.end
        if s.kind == NN_SECTION_UPDATE:
            if not self.applies:
                self.end = s.first
            elif self.waits(s):
                self.end = s.first + s.each
        if s.kind == NN_SECTION_LOOP:
            self.begin_turn(s)
        return True

    cdef inline bint waits(self, const nn_section *s) noexcept nogil:
        """Whether the update is that of a later step, which takes the gradients of this one, too."""
        return s.steps > 1 and self.r.updates[1] + 1 < s.steps

    cdef void begin_turn(self, const nn_section *s) noexcept nogil:
        nn_turn(&self.r, s, self.moving, self.turn if s.step > 0 else s.turns - 1 - self.turn)

    cdef inline void leave(self, const nn_section *s) noexcept nogil:
        """End a section, or a turn of it."""
        if self.turn + 1 < s.turns:
            self.turn += 1
            self.op = s.first
            self.begin_turn(s)
            return
        self.entered = False
        self.section += 1
        if self.section == self.n_sections:
            self.end_step()

    cdef void cut_operations(self) noexcept nogil:
        """Have the operations of a long step cut up, so that thread 0 can look at signals within them."""
        cdef bint long_step = self.cost * min(self.batch, self.r.rows) >= LONG_FLOPS
        nn_put_cut(&self.r, self.r.threads == 1 and not long_step, nn_seconds() + LOOK_SECONDS if long_step else 0)

    cdef bint begin_update(self) noexcept nogil:
        """All gradients are there: add up the sums, keep readers off the weights; False, with a reason, if not."""
        if self.r.gate != NULL and not nn_gate_write(self.r.gate, self.own_reads, PATIENCE):
            self.reason = TIME
            return False
        if not self.close_sums():
            self.end_update()
            self.reason = DIVERGED
            return False
        nn_put_cut(&self.r, self.r.undivided, 0)  # the update is finished whatever comes
        return True

    cdef void end_update(self) noexcept nogil:
        if self.r.gate != NULL:
            nn_gate_end_write(self.r.gate)

    cdef inline bint late(self) noexcept nogil:
        """Whether the time is up, as far as the last look at the clock tells."""
        if not self.deadline or self.work < LOOK_FLOPS:
            return False
        self.work = 0
        return nn_seconds() > self.deadline

    cdef bint begin_step(self) noexcept nogil:
        """Point the buffers at the next batch; False, with a reason, where there is no next step now."""
        cdef int i
        cdef int64_t samples
        cdef nn_binding *s
        if self.r.row >= self.r.rows:
            self.reason = END
            return False
        if self.steps_left == 0:
            self.reason = STEPS
            return False
        if self.late():
            self.reason = TIME
            return False
        if self.trains and not self.r.scheduled_from <= self.r.updates[0] < self.r.scheduled_to:
            self.reason = NEED_VALUES
            return False
        for i in range(<int> self.r.n_bindings):
            s = &self.r.bindings[i]
            if s.row.n and s.data == NULL and not self.step_ready:
                self.reason = NEED_DATA
                return False
            nn_put_base(&self.r, <int> NN_BUFFER_binding + i, self.rows_from(i, self.r.row, 0))
        self.begun, self.applies, self.section, self.entered, self.judged = True, True, 0, False, False
        samples = min(self.batch, self.r.rows - self.r.row)
        if samples != self.r.samples and self.r.threads > 1:  # a late thread would count the tiles of another batch
            nn_tiles_offer(self.r.tiles, <int> (self.n_ops * self.r.threads), 0)
        nn_put_batch(&self.r, self.r.row, samples)
        self.r.nonfinite = 0
        return True

    cdef void judge(self) noexcept nogil:
        """Let a loss or penalty that is not finite count as a gradient that is not."""
        cdef int64_t i, k
        cdef const nn_accumulator *a
        if self.judged:
            return
        self.judged = True
        for i in range(self.r.n_accumulators):
            a = &self.r.accumulators[i]
            for k in range(nn_parts(&self.r, a, self.r.samples) * a.size if a.finite else 0):
                if not isfinite(self.r.partial[a.partial + k]):
                    self.r.nonfinite = 1

    cdef bint close_sums(self) noexcept nogil:
        """Add the step's parts to the sums, in order; False if a step that would update is not finite."""
        cdef int64_t i
        cdef const nn_accumulator *a
        cdef double *out
        self.judge()
        for i in range(self.r.n_accumulators):
            a = &self.r.accumulators[i]
            out = self.r.sums + a.sum
            nn_add_parts(&self.r, a, self.r.samples if a.per_step else 1, out)
            self.add_weights(a, &out[a.width])
        return not self.trains or not self.r.nonfinite

    cdef void add_weights(self, const nn_accumulator *a, double *total) noexcept nogil:
        """Add the batch's weights, or the number of its samples."""
        cdef const void *w = nn_at(&self.r, a.weight)
        cdef int64_t i
        if w == NULL:
            total[0] += self.r.samples
            return
        for i in range(self.r.samples):
            total[0] += (<const float *> w)[i] if self.r.table.itemsize == 4 else (<const double *> w)[i]

    cdef void end_step(self) noexcept nogil:
        if not self.trains:
            self.close_sums()
        else:
            self.r.step[0] += 1  # of each batch, whether or not its gradients wait for others
            if self.applies:
                if self.waits(&self.sections[self.n_sections - 1]):
                    self.r.updates[1] += 1
                else:
                    self.r.updates[0] += 1
                    self.r.updates[1] = 0
                self.end_update()
        nn_put_batch(&self.r, self.r.row + self.r.samples, self.r.samples)
        self.steps_left -= 1
        self.begun = self.step_ready = False
        self.cut_operations()


cdef void look(nn_run *run) noexcept nogil:
    """Within a long step: let signals be handled, and other threads of Python run; an exception calls the step off."""
    with gil:
        engine = <Executor> run.owner
        nn_float_mode_leave(engine.callers)   # handlers are the caller's
        try:
            PyErr_CheckSignals()
        except BaseException as interrupt:
            engine.interrupt = interrupt
            run.called_off = True
        nn_float_mode_enter()
    nn_put_cut(run, run.undivided, nn_seconds() + LOOK_SECONDS)
