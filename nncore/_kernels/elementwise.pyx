"""Activations, dropout and arithmetic of tensors, shared out to the team in spans of elements or rows."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from nncore._kernels.table cimport (
    Table, View, nn_at, nn_float_mode, nn_float_mode_enter, nn_float_mode_leave, nn_index, nn_member, nn_op, nn_run,
    nn_take_tile, view,
)
from nncore._kernels.table import ACTIVATIONS, FUNCTIONS

cdef enum:
    ELEMENTS = 8192   # per span: a few µs; a multiple of dropout's 64


cdef bint take(nn_run *run, int64_t index, nn_member *me, nn_index size, nn_index block, Span *span) noexcept nogil:
    """Take the next span of `size` things in blocks of `block`; False when none is left.

    Start with ``span.count = 0``. One thread alone gets everything at once, unless the step is a long one.
    """
    if run.undivided:
        if span.count or size == 0:
            return False
        span.first, span.count = 0, size
        return True
    if not nn_take_tile(run, index, me, (size + block - 1) // block):
        return False
    span.first = me.tile * block
    span.count = min(block, size - span.first)
    return True


cdef inline nn_index rows_per_span(nn_index n) noexcept nogil:
    return max(1, ELEMENTS // max(1, n))


cdef inline void *item(const nn_run *run, const nn_op *op, int i, nn_index first) noexcept nogil:
    """Operand i, from its element `first` on."""
    return <char *> nn_at(run, op, i) + first * run.table.itemsize


cdef inline nn_index elements(const nn_op *op, const nn_run *run) noexcept nogil:
    return run.samples * op.factor * op.n


cdef void activate(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Y = f(Z)."""
    cdef Span s
    s.count = 0
    while take(run, index, me, elements(op, run), ELEMENTS, &s):
        run.table.activate[op.variant](1, s.count, item(run, op, 0, s.first), s.count,
                                       item(run, op, 1, s.first), s.count, op.param[0])


cdef void activate_backward(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """dZ = dY ⊙ f′(kept)."""
    cdef Span s
    s.count = 0
    while take(run, index, me, elements(op, run), ELEMENTS, &s):
        run.table.activate_backward[op.variant](1, s.count, item(run, op, 0, s.first), s.count,
                                                item(run, op, 1, s.first), s.count,
                                                item(run, op, 2, s.first), s.count, op.param[0])


cdef void softmax(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Y = softmax(Z), row by row."""
    cdef Span s
    s.count = 0
    while take(run, index, me, run.samples * op.factor, rows_per_span(op.n), &s):
        run.table.softmax(s.count, op.n, item(run, op, 0, s.first * op.n), item(run, op, 1, s.first * op.n))


cdef void softmax_backward(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """dZ = Y ⊙ (dY − Σ dY Y), row by row."""
    cdef Span s
    s.count = 0
    while take(run, index, me, run.samples * op.factor, rows_per_span(op.n), &s):
        run.table.softmax_backward(s.count, op.n, item(run, op, 0, s.first * op.n), item(run, op, 1, s.first * op.n),
                                   item(run, op, 2, s.first * op.n))


cdef void dropout(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Y = X ⊙ mask / (1 − rate); the mask is a function of (seed, layer, step, position in the batch)."""
    cdef Span s
    cdef uint64_t[2] key
    key[0] = run.seed
    key[1] = (<uint64_t> op.slot << 48) ^ <uint64_t> run.step[0]
    s.count = 0
    while take(run, index, me, elements(op, run), ELEMENTS, &s):
        run.table.dropout(s.count, s.first, key, op.param[0], item(run, op, 0, s.first), item(run, op, 1, s.first))


cdef void rescale(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Y = scale X + offset."""
    cdef Span s
    s.count = 0
    while take(run, index, me, elements(op, run), ELEMENTS, &s):
        run.table.rescale(s.count, op.param[0], op.param[1], item(run, op, 0, s.first), item(run, op, 1, s.first))


cdef void add(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Y = A + B."""
    cdef Span s
    s.count = 0
    while take(run, index, me, elements(op, run), ELEMENTS, &s):
        run.table.add(s.count, item(run, op, 0, s.first), item(run, op, 1, s.first), item(run, op, 2, s.first))


cdef void multiply(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Y = A ⊙ B."""
    cdef Span s
    s.count = 0
    while take(run, index, me, elements(op, run), ELEMENTS, &s):
        run.table.multiply(s.count, item(run, op, 0, s.first), item(run, op, 1, s.first), item(run, op, 2, s.first))


cdef void copy(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """n columns of X, rows k apart, to Y, rows ld apart."""
    cdef Span s
    cdef nn_index i
    s.count = 0
    while take(run, index, me, run.samples * op.factor, rows_per_span(op.n), &s):
        for i in range(s.first, s.first + s.count):
            memcpy(item(run, op, 1, i * op.ld), item(run, op, 0, i * op.k), op.n * run.table.itemsize)


def apply_activation(Table table, str name, z, out, double alpha=0.0, Py_ssize_t cols=-1, Py_ssize_t ld=-1):
    """out = f(z), elementwise; as rows of `cols` elements that lie `ld` apart where these are given."""
    cdef nn_float_mode callers
    cdef View vz = view(z, table), vy = view(out, table, True)
    cdef int which = ACTIVATIONS[name]
    cdef nn_index n = vz.size if cols < 0 else cols, step = n if ld < 0 else ld
    cdef nn_index rows = 0 if vz.size == 0 else (1 if step == 0 else up_rows(vz.size, n, step))
    with nogil:
        callers = nn_float_mode_enter()
        table.c.activate[which](rows, n, vz.data, step, vy.data, step, alpha)
        nn_float_mode_leave(callers)


cdef nn_index up_rows(nn_index size, nn_index cols, nn_index ld):
    return (size - cols) // ld + 1


def apply_activation_backward(Table table, str name, kept, dy, out, double alpha=0.0):
    """out = dy ⊙ f′(kept), elementwise; `kept` holds Y or Z as kernels.def says."""
    cdef nn_float_mode callers
    cdef View vk = view(kept, table), vd = view(dy, table), vo = view(out, table, True)
    cdef int which = ACTIVATIONS[name]
    with nogil:
        callers = nn_float_mode_enter()
        table.c.activate_backward[which](1, vk.size, vk.data, vk.size, vd.data, vk.size, vo.data, vk.size, alpha)
        nn_float_mode_leave(callers)


def apply_softmax(Table table, z, out, Py_ssize_t rows, Py_ssize_t n):
    """out (rows,n) = softmax(z), row by row."""
    cdef nn_float_mode callers
    cdef View vz = view(z, table), vo = view(out, table, True)
    with nogil:
        callers = nn_float_mode_enter()
        table.c.softmax(rows, n, vz.data, vo.data)
        nn_float_mode_leave(callers)


def apply_softmax_backward(Table table, y, dy, out, Py_ssize_t rows, Py_ssize_t n):
    """out = y ⊙ (dy − Σ dy y), row by row."""
    cdef nn_float_mode callers
    cdef View vy = view(y, table), vd = view(dy, table), vo = view(out, table, True)
    with nogil:
        callers = nn_float_mode_enter()
        table.c.softmax_backward(rows, n, vy.data, vd.data, vo.data)
        nn_float_mode_leave(callers)


def apply_dropout(Table table, x, out, double rate, uint64_t first, uint64_t key_0, uint64_t key_1):
    """out = x ⊙ mask / (1 − rate), the mask of elements first, first + 1, …"""
    cdef nn_float_mode callers
    cdef View vx = view(x, table), vo = view(out, table, True)
    cdef uint64_t[2] key
    key[0], key[1] = key_0, key_1
    with nogil:
        callers = nn_float_mode_enter()
        table.c.dropout(vx.size, first, key, rate, vx.data, vo.data)
        nn_float_mode_leave(callers)


def apply_add(Table table, a, b, out):
    """out = a + b."""
    cdef nn_float_mode callers
    cdef View va = view(a, table), vb = view(b, table), vo = view(out, table, True)
    with nogil:
        callers = nn_float_mode_enter()
        table.c.add(va.size, va.data, vb.data, vo.data)
        nn_float_mode_leave(callers)


def apply_multiply(Table table, a, b, out):
    """out = a ⊙ b."""
    cdef nn_float_mode callers
    cdef View va = view(a, table), vb = view(b, table), vo = view(out, table, True)
    with nogil:
        callers = nn_float_mode_enter()
        table.c.multiply(va.size, va.data, vb.data, vo.data)
        nn_float_mode_leave(callers)


def apply_rescale(Table table, x, out, double scale, double offset):
    """out = scale x + offset."""
    cdef nn_float_mode callers
    cdef View vx = view(x, table), vo = view(out, table, True)
    with nogil:
        callers = nn_float_mode_enter()
        table.c.rescale(vx.size, scale, offset, vx.data, vo.data)
        nn_float_mode_leave(callers)


def apply_function(Table table, str name, x, out):
    """out = the vector math function `name` of x."""
    cdef nn_float_mode callers
    cdef View vx = view(x, table), vo = view(out, table, True)
    cdef int which = FUNCTIONS[name]
    with nogil:
        callers = nn_float_mode_enter()
        table.c.function[which](vx.size, vx.data, vo.data)
        nn_float_mode_leave(callers)
