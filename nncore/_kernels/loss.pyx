"""Losses, metrics and the gather of rows, on the calling thread: of arrays, and for tests and benchmarks."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from nncore._kernels.table cimport (
    Numbers, Table, View, nn_counting, nn_event, nn_float_mode, nn_float_mode_enter, nn_float_mode_leave, nn_index,
    nn_loss, nn_row, nn_rowwise, nn_tally, parameter_numbers, row_of, view,
)
from nncore._kernels.table import LOSS_FORMS, LOSSES, METRICS, MOMENTS, SOURCES, TALLIES


cdef enum:
    TALLIED = 4096   # events between two additions to the sums


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
    """The loss or metric `name` of each row, on the calling thread: to the float64 array `out` (rows).

    `p`, `target`, `columns` and `parameters` are as `apply_rows` has them.
    """
    cdef nn_float_mode callers
    cdef nn_loss a
    cdef Numbers taken
    cdef View vp = view(p, table), vt = view(target), vo = view(out, None, True), vc
    cdef nn_rowwise kernel = table.c.loss[<int> LOSSES[name]] if name in LOSSES else table.c.metric[<int> METRICS[name]]
    cdef bint batch = LOSS_FORMS.get(name) == "BATCH"
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


def apply_tally(Table table, str name, p, target, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t events, sums, *,
                weight=None, numbers=None, Py_ssize_t count=0, parameters=()):
    """Count rows of `p` in the float64 array `sums`, as the tally `name` has it, on the calling thread.

    Parameters
    ----------
    p : array of rows n elements
    target : array of rows m elements, or int32 array of rows labels
    events : int
        Of a row.
    weight : array of rows elements, or of rows n, optional
    numbers : array, optional
        Of which `count` are thresholds.
    """
    cdef nn_float_mode callers
    cdef nn_tally a
    cdef Numbers taken
    cdef View vp = view(p, table), vt = view(target), vw, vn, vs = view(sums, None, True)
    cdef nn_counting kernel = table.c.tally[<int> TALLIES[name]]
    cdef Py_ssize_t i, k, more, step, limit = vs.size
    cdef double *out = <double *> vs.data
    if vs.itemsize != 8:
        raise TypeError("sums: expected an array of float64")
    memset(&a, 0, sizeof(a))
    taken = parameter_numbers(parameters)
    a.n, a.parameters, a.count = n, taken.all, count
    a.labels = vt.buffer.format[0] == c'i'
    a.m = vt.size // rows if rows else n
    a.p, a.target = vp.data, vt.data
    if weight is not None:
        vw = view(weight, table)
        a.weight, a.weights = vw.data, vw.size // rows if rows else 1
    if numbers is not None:
        vn = view(numbers, table)
        a.numbers = vn.data
    step = max(1, TALLIED // max(1, events))
    a.events = <nn_event *> malloc(max(1, step * events) * sizeof(nn_event))
    if a.events == NULL:
        raise MemoryError()
    with nogil:
        callers = nn_float_mode_enter()
        for i in range((rows + step - 1) // step):
            more = min(step, rows - i * step)
            a.rows = more
            kernel(&a)
            for k in range(more * events):
                if 0 <= a.events[k].place < limit:
                    out[a.events[k].place] += a.events[k].value
            a.p = <const char *> a.p + more * n * table.c.itemsize
            a.target = <const char *> a.target + more * (4 if a.labels else a.m * table.c.itemsize)
            if a.weight != NULL:
                a.weight = <const char *> a.weight + more * a.weights * table.c.itemsize
        nn_float_mode_leave(callers)
    free(a.events)


def add_moments(Table table, p, target, Py_ssize_t rows, Py_ssize_t n, sums, *, weight=None):
    """Let rows of `p` and `target`, n elements each, go into sums of powers, float64 (MOMENTS, n): see tallies.h."""
    cdef nn_float_mode callers
    cdef View vp = view(p, table), vt = view(target, table), vw, vs = view(sums, None, True)
    cdef const void *w = NULL
    cdef Py_ssize_t weights = 1
    if weight is not None:
        vw = view(weight, table)
        w, weights = vw.data, vw.size // rows if rows else 1
    if vs.itemsize != 8 or vs.size < MOMENTS * n or weights not in (1, n):
        raise ValueError(f"sums: expected room for {MOMENTS * n} float64, got {vs.size}; weights: 1 or {n}")
    with nogil:
        callers = nn_float_mode_enter()
        table.c.moments(rows, n, 0, n, vp.data, vt.data, w, weights, 1, <double *> vs.data)
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
