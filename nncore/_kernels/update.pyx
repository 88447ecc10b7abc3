"""Regularizers, norms and updates of arrays, on the calling thread: entries for tests and benchmarks."""

from libc.stdlib cimport free
from libc.string cimport memset

from nncore._kernels.table cimport (
    NN_STATES, Numbers, Table, View, aligned, nn_float_mode, nn_float_mode_enter, nn_float_mode_leave, nn_rule,
    parameter_numbers, view,
)
from nncore._kernels.table import CONSTRAINTS, NUMBERS_BYTES, OPTIMIZERS


def apply_update(Table table, str name, w, g, states, rule, numbers):
    """Update `w` in place by the rule `name`.

    `rule` and `numbers` are what RULE_NUMBERS and NUMBERS[name] describe; `states` are arrays or None, in order.
    """
    cdef nn_float_mode callers
    cdef View vw = view(w, table, True), vg = view(g, table), vr = view(rule), vn = view(numbers), v
    cdef void *state[<int> NN_STATES]
    cdef int which = OPTIMIZERS[name], k
    cdef list held = []
    if vr.buffer.len != sizeof(nn_rule) or vn.buffer.len != NUMBERS_BYTES[name]:
        raise ValueError("rule, numbers: expected one float64 per field of nn_rule and of the optimizer")
    memset(state, 0, sizeof(state))
    for k in range(len(states)):
        if states[k] is not None:
            v = view(states[k], table, True)
            held.append(v)
            state[k] = v.data
    with nogil:
        callers = nn_float_mode_enter()
        table.c.update[which](1, NULL, vw.size, vw.data, vg.data, state, <const nn_rule *> vr.data, vn.data)
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


def apply_orthogonal(Table table, w, Py_ssize_t rows, Py_ssize_t n, bint columns, double factor, room):
    """The penalty of OrthogonalRegularizer on the contiguous `w`; `room` (2 rows n + rows² + rows)."""
    cdef nn_float_mode callers
    cdef View vw = view(w, table), vr = view(room, table, True)
    cdef void *scratch
    if vw.size != rows * n or vr.size < 2 * rows * n + rows * rows + rows:
        raise ValueError(f"w, room: expected {rows} · {n} elements, and room for more, got {vw.size}, {vr.size}")
    scratch = aligned(table.c.gemm_scratch)
    try:
        with nogil:
            callers = nn_float_mode_enter()
            value = table.c.orthogonal(table.c, rows, n, columns, factor, vw.data, NULL, vr.data, scratch)
            nn_float_mode_leave(callers)
    finally:
        free(scratch)
    return value


def apply_constraint(Table table, str name, w, Py_ssize_t n, Py_ssize_t inner, parameters, Py_ssize_t first=0,
                     count=None):
    """Make the contiguous `w` (outer,n,inner) fit CONSTRAINTS `name`, in place, at `count` places from `first` on."""
    cdef nn_float_mode callers
    cdef View vw = view(w, table, True)
    cdef Numbers p = parameter_numbers(parameters)
    cdef int which = CONSTRAINTS[name]
    cdef Py_ssize_t places = (vw.size // n if n else 0) if count is None else count
    if n <= 0 or inner <= 0 or vw.size % (n * inner):
        raise ValueError(f"w: expected a multiple of {n} · {inner} elements, got {vw.size}")
    with nogil:
        callers = nn_float_mode_enter()
        table.c.constrain(which, n, inner, first, places, vw.data, p.all)
        nn_float_mode_leave(callers)
