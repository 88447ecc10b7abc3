"""Losses, metrics and the gather of rows, on the calling thread: of arrays, and for tests and benchmarks."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from nncore._kernels.table cimport (
    Numbers, Table, View, nn_float_mode, nn_float_mode_enter, nn_float_mode_leave, nn_index, nn_loss, nn_row,
    nn_rowwise,
    parameter_numbers, row_of, view,
)
from nncore._kernels.table import LOSS_FORMS, LOSSES, METRICS, SOURCES


def apply_rows(Table table, str kind, str name, p, target, Py_ssize_t rows, Py_ssize_t n, *, weight=None, each=None,
               columns=None, double scale=1.0, parameters=(), grad=None, prob=None):
    """Apply the loss or metric `name` to rows of `p`, on the calling thread.

    Parameters
    ----------
    kind : {"loss", "metric"}
    p : array of rows n elements
    target : array of rows n elements, or int32 array of rows labels; see kernels.def
    weight : array of rows elements, optional
    each : array of rows n elements, optional
    columns : array of n elements, optional
    grad, prob : arrays of rows n elements, optional
        Receive what contract.h says.

    Returns
    -------
    float
        Σ weight value.
    """
    cdef nn_float_mode callers
    cdef nn_loss a
    cdef Numbers taken
    cdef View vp = view(p), vt = view(target), vw, ve, vc, vg, vprob
    cdef nn_rowwise kernel = table.c.loss[<int> LOSSES[name]] if kind == "loss" else table.c.metric[<int> METRICS[name]]
    memset(&a, 0, sizeof(a))
    taken = parameter_numbers(parameters)
    a.rows, a.n, a.scale, a.parameters = rows, n, scale, taken.all
    a.p, a.target = vp.data, vt.data
    if weight is not None:
        vw = view(weight, table)
        a.weight = vw.data
    if each is not None:
        ve = view(each, table)
        a.each = ve.data
    if columns is not None:
        vc = view(columns, table)
        a.columns = vc.data
    if grad is not None:
        vg = view(grad, table, True)
        a.grad = vg.data
    if prob is not None:
        vprob = view(prob, table, True)
        a.prob = vprob.data
    with nogil:
        callers = nn_float_mode_enter()
        value = kernel(&a)
        nn_float_mode_leave(callers)
    return value


def row_values(Table table, str name, p, target, Py_ssize_t rows, Py_ssize_t n, out, *, columns=None, parameters=()):
    """The loss `name` of each row, on the calling thread: to the float64 array `out` (rows).

    `p`, `target`, `columns` and `parameters` are as `apply_rows` has them.
    """
    cdef nn_float_mode callers
    cdef nn_loss a
    cdef Numbers taken
    cdef View vp = view(p, table), vt = view(target), vo = view(out, None, True), vc
    cdef nn_rowwise kernel = table.c.loss[<int> LOSSES[name]]
    cdef bint batch = LOSS_FORMS[name] == "BATCH"
    cdef Py_ssize_t i, t_step = vt.size // rows * vt.itemsize if rows else 0, p_step = n * table.c.itemsize
    cdef double *values = <double *> vo.data
    if vp.size != rows * n or vo.size != rows or vo.itemsize != 8:
        raise ValueError(f"expected {rows} rows of {n}, got {vp.size} elements and room for {vo.size}")
    memset(&a, 0, sizeof(a))
    taken = parameter_numbers(parameters)
    a.n, a.parameters, a.p, a.target = n, taken.all, vp.data, vt.data
    a.rows = rows if batch else 1
    if columns is not None:
        vc = view(columns, table)
        a.columns = vc.data
    with nogil:
        callers = nn_float_mode_enter()
        if batch:
            a.values = values
            kernel(&a)
        else:
            for i in range(rows):
                values[i] = kernel(&a)
                a.p = <const char *> a.p + p_step
                a.target = <const char *> a.target + t_step
        nn_float_mode_leave(callers)


def apply_gather(Table table, str source, data, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t n, out, *, order=None,
                 int64_t low=0, int64_t high=0, axes=None):
    """Convert rows of `data` (bytes), `stride` bytes apart, into `out`; returns the first bad row, or −1.

    They become int32 in [low, high) where there are such numbers. `axes` says where the n elements of a row lie, as
    `Run.bind_rows` has it; by default one after another.
    """
    cdef nn_float_mode callers
    cdef View vd = view(data), vo = view(out, None, True), vi
    cdef const int64_t *index = NULL
    cdef int which = SOURCES[source]
    cdef nn_index bad, known = rows
    cdef nn_row row = row_of(n, which, axes)
    if order is not None:
        vi = view(order)
        index, known = <const int64_t *> vi.data, vi.size
    with nogil:
        callers = nn_float_mode_enter()
        if low < high:
            bad = table.c.gather_integers[which](rows, &row, vd.data, stride, index, known, low, high,
                                                 <int32_t *> vo.data)
        else:
            bad = table.c.gather[which](rows, &row, vd.data, stride, index, known, vo.data)
        nn_float_mode_leave(callers)
    return bad
