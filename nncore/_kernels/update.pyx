"""Regularizers, norms and updates of the parameters, shared out to the team by chunks.

The chunks are given by the layout of the parameters alone; every sum over chunks goes in their order.
"""

from libc.math cimport sqrt
from libc.stdint cimport int64_t
from libc.string cimport memset

from nncore._kernels.elementwise cimport Span, take
from nncore._kernels.table cimport (
    NN_BUFFER_packed, Table, View, nn_at, nn_chunk, nn_float_mode, nn_float_mode_enter, nn_float_mode_leave,
    nn_member, nn_op, nn_rule, nn_run, view,
)
from nncore._kernels.table import OPTIMIZERS


cdef inline char *part(const nn_run *run, const nn_op *op, int i, int64_t offset) noexcept nogil:
    cdef char *base = <char *> nn_at(run, op, i)
    return base + offset * run.table.itemsize if base != NULL else NULL


cdef void penalty(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Penalties of chunks; their gradients are added to dW where it is given."""
    cdef Span s
    cdef const nn_chunk *c
    cdef int64_t i
    s.count = 0
    while take(run, index, me, run.n_chunks, 1, &s):
        for i in range(s.first, s.first + s.count):
            c = &run.chunks[i]
            run.partial[op.slot * run.max_partials + i] = run.table.regularize(
                c.n, c.l1, c.l2, part(run, op, 0, c.offset), part(run, op, 1, c.offset)) if c.l1 or c.l2 else 0


cdef void norms(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Σ (g / unit)² of each chunk, and unit."""
    cdef Span s
    cdef double *norms = <double *> nn_at(run, op, 1)
    cdef int64_t i
    s.count = 0
    while take(run, index, me, run.n_chunks, 1, &s):
        for i in range(s.first, s.first + s.count):
            norms[2 * i] = run.table.sum_squares(
                run.chunks[i].n, part(run, op, 0, run.chunks[i].offset), &norms[2 * i + 1])


cdef double norm_scale(const nn_run *run, const double *norms, int64_t chunk, double *unit) noexcept nogil:
    """What brings the norm of g / unit, of the group of a chunk, down to clipnorm.

    `unit` is a power of two, apart from the result, for their quotient may be beyond what a real can hold.
    """
    cdef int64_t i, first = chunk, end = chunk  # a group's chunks stand side by side
    cdef double total = 0, ratio
    while first > 0 and run.chunks[first - 1].group == run.chunks[chunk].group:
        first -= 1
    while end < run.n_chunks and run.chunks[end].group == run.chunks[chunk].group:
        end += 1
    unit[0] = norms[2 * first + 1]
    for i in range(first, end):
        unit[0] = max(unit[0], norms[2 * i + 1])
    for i in range(first, end):
        ratio = norms[2 * i + 1] / unit[0]
        total += norms[2 * i] * ratio * ratio
    if sqrt(total) > run.clipnorm / unit[0]:
        return run.clipnorm / sqrt(total)
    unit[0] = 1
    return 1


cdef void repack(const nn_op *op, nn_run *run, const nn_chunk *c) noexcept nogil:
    """Bring the packed copies of a chunk's weights up to date, while it is in cache."""
    cdef int transposed
    for transposed in range(2):
        if c.outputs and c.packed[transposed] >= 0:
            run.table.pack(<int> op.precision, transposed, c.inputs, c.outputs, c.first, c.n // c.outputs,
                           part(run, op, 0, c.offset - c.first * c.outputs),
                           run.base[<int> NN_BUFFER_packed] + c.packed[transposed])


cdef void update(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Apply the rule to the claimed chunks."""
    cdef Span s
    cdef const nn_chunk *c
    cdef nn_rule rule = run.rule[0]
    cdef void *slot[3]
    cdef int64_t i, k, group = -1
    cdef double unit = 1  # what g is divided by, before rule.grad_scale: hardly ever anything else
    s.count = 0
    while take(run, index, me, run.n_chunks, 1, &s):
        for i in range(s.first, s.first + s.count):
            c = &run.chunks[i]
            if run.clipnorm and c.group != group:
                group = c.group
                rule.grad_scale = norm_scale(run, <const double *> nn_at(run, op, 5), i, &unit)
            if unit != 1:
                run.table.rescale(c.n, 1 / unit, 0, part(run, op, 1, c.offset), part(run, op, 1, c.offset))
            rule.weight_decay = run.rule.weight_decay * c.decay
            for k in range(3):
                slot[k] = part(run, op, 2 + k, c.offset)
            run.table.update[op.variant](c.n, part(run, op, 0, c.offset), part(run, op, 1, c.offset), slot, &rule)
            repack(op, run, c)


def apply_update(Table table, str name, w, g, slots, rule):
    """Update `w` in place by the rule `name`; `rule` is a float64 array of the fields of nn_rule."""
    cdef nn_float_mode callers
    cdef View vw = view(w, table, True), vg = view(g, table), vr = view(rule), v
    cdef void *slot[3]
    cdef int which = OPTIMIZERS[name], k
    cdef list held = []
    if vr.buffer.len != sizeof(nn_rule):
        raise ValueError("rule: expected one float64 per field of nn_rule")
    memset(slot, 0, sizeof(slot))
    for k in range(len(slots)):
        if slots[k] is not None:
            v = view(slots[k], table, True)
            held.append(v)
            slot[k] = v.data
    with nogil:
        callers = nn_float_mode_enter()
        table.c.update[which](vw.size, vw.data, vg.data, slot, <const nn_rule *> vr.data)
        nn_float_mode_leave(callers)


def apply_column_sums(Table table, x, out, Py_ssize_t rows, Py_ssize_t cols):
    """out (cols) = column sums of x (rows,cols); returns whether all are finite."""
    cdef nn_float_mode callers
    cdef View vx = view(x, table), vo = view(out, table, True)
    cdef int nonfinite = 0
    with nogil:
        callers = nn_float_mode_enter()
        table.c.column_sums(rows, cols, vx.data, cols, vo.data, &nonfinite)
        nn_float_mode_leave(callers)
    return not nonfinite


def apply_sum_squares(Table table, x):
    """Σ (x / unit)², in float64, and unit."""
    cdef nn_float_mode callers
    cdef View vx = view(x, table)
    cdef double unit = 1
    with nogil:
        callers = nn_float_mode_enter()
        total = table.c.sum_squares(vx.size, vx.data, &unit)
        nn_float_mode_leave(callers)
    return total, unit


def apply_regularize(Table table, double l1, double l2, w, g=None):
    """g += l1 sign(w) + 2 l2 w in place; returns l1 Σ|w| + l2 Σ w²."""
    cdef nn_float_mode callers
    cdef View vw = view(w, table), vg
    cdef void *gradient = NULL
    if g is not None:
        vg = view(g, table, True)
        gradient = vg.data
    with nogil:
        callers = nn_float_mode_enter()
        penalty = table.c.regularize(vw.size, l1, l2, vw.data, gradient)
        nn_float_mode_leave(callers)
    return penalty
