"""The batch's rows, its losses and its metrics, shared out to the team in spans of rows.

Losses and metrics are summed in float64 over chunks of NN_CHUNK_ROWS rows, and the engine adds the chunks in
order, so a sum has the same bits for any team.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from nncore._kernels.elementwise cimport Span, take
from nncore._kernels.table cimport (
    NN_CHUNK_ROWS, Table, View, nn_at, nn_float_mode, nn_float_mode_enter, nn_float_mode_leave, nn_index, nn_loss,
    nn_member, nn_note_bad, nn_op, nn_row, nn_rowwise, nn_run, nn_source, row_of, view,
)
from nncore._kernels.table import LOSSES, METRICS, SOURCES

cdef enum:
    GATHER_BYTES = 32768   # of a batch per span


cdef void gather(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Rows of source `variant` by number, converted; nothing where they can be read in place."""
    cdef nn_source *source = &run.source[op.variant]
    cdef Span s
    cdef nn_index bad, known = run.rows - run.row
    cdef const char *data
    cdef const int64_t *order
    if source.in_place or source.data == NULL:
        return
    s.count = 0
    while take(run, index, me, run.samples, max(1, GATHER_BYTES // max(1, 4 * source.row.n)), &s):
        data = source.data if run.order != NULL else source.data + (run.row + s.first) * source.stride
        order = run.order + run.row + s.first if run.order != NULL else NULL
        if source.classes:
            bad = run.table.gather_labels[source.type](s.count, &source.row, data, source.stride, order,
                                                       known - s.first, source.classes,
                                                       <int32_t *> source.copy + s.first * source.row.n)
        else:
            bad = run.table.gather[source.type](s.count, &source.row, data, source.stride, order, known - s.first,
                                                <char *> source.copy + s.first * source.row.n * run.table.itemsize)
        if bad >= 0:
            nn_note_bad(run, run.row + s.first + bad, op.variant)


cdef void rowwise(const nn_op *op, nn_run *run, int64_t index, nn_member *me, nn_rowwise kernel,
                  bint gradient) noexcept nogil:
    """Apply a loss or metric to the claimed chunks of rows, and note their sums."""
    cdef nn_loss a
    cdef Span s
    cdef nn_index i, rows = NN_CHUNK_ROWS, size = run.table.itemsize, chunk
    cdef bint labels = run.source[1].classes > 0
    cdef double *partial = run.partial + op.slot * run.max_partials
    cdef const char *weight = <const char *> nn_at(run, op, 2)
    cdef double w
    memset(&a, 0, sizeof(a))
    a.n = op.n
    a.param = op.param[0]
    s.count = 0
    while take(run, index, me, run.samples, rows, &s):
        for chunk in range(s.first // rows, (s.first + s.count + rows - 1) // rows):
            a.rows = min(rows, run.samples - chunk * rows) * op.factor
            a.scale = 1.0 / (run.samples * op.factor)
            point(&a, op, run, chunk * rows * op.factor, labels, gradient)
            if weight == NULL or op.factor == 1:
                a.weight = weight + chunk * rows * size if weight != NULL else NULL
                partial[chunk] = kernel(&a) / op.factor
                continue
            partial[chunk] = 0  # one weight for the `factor` rows of a sample
            a.weight = NULL
            for i in range(chunk * rows, min((chunk + 1) * rows, run.samples)):
                w = (<const float *> weight)[i] if size == 4 else (<const double *> weight)[i]
                a.rows = op.factor
                a.scale = w / (run.samples * op.factor)
                point(&a, op, run, i * op.factor, labels, gradient)
                partial[chunk] += w * kernel(&a) / op.factor


cdef inline void point(nn_loss *a, const nn_op *op, nn_run *run, nn_index row, bint labels,
                       bint gradient) noexcept nogil:
    """Point the arguments at `row`."""
    cdef nn_index at = row * op.n * run.table.itemsize
    a.p = <const char *> nn_at(run, op, 0) + at
    a.target = <const char *> nn_at(run, op, 1) + (row * sizeof(int32_t) if labels else at)
    a.grad = a.prob = NULL
    if gradient:
        if nn_at(run, op, 3) != NULL:
            a.grad = <char *> nn_at(run, op, 3) + at
        if nn_at(run, op, 4) != NULL:
            a.prob = <char *> nn_at(run, op, 4) + at


cdef void loss(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Σ weight loss, and the gradient of their mean over the batch."""
    rowwise(op, run, index, me, run.table.loss[op.variant], True)


cdef void metric(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Σ weight metric."""
    rowwise(op, run, index, me, run.table.metric[op.variant], False)


def apply_rows(Table table, str kind, str name, p, target, Py_ssize_t rows, Py_ssize_t n, *, weight=None,
               double scale=1.0, double param=0.0, grad=None, prob=None):
    """Apply the loss or metric `name` to rows of `p`, on the calling thread.

    Parameters
    ----------
    kind : {"loss", "metric"}
    p : array of rows n elements
    target : array of rows n elements, or int32 array of rows labels
    weight : array of rows elements, optional
    grad, prob : arrays of rows n elements, optional
        Receive what contract.h says.

    Returns
    -------
    float
        Σ weight value.
    """
    cdef nn_float_mode callers
    cdef nn_loss a
    cdef View vp = view(p), vt = view(target), vw, vg, vprob
    cdef nn_rowwise kernel = table.c.loss[<int> LOSSES[name]] if kind == "loss" else table.c.metric[<int> METRICS[name]]
    memset(&a, 0, sizeof(a))
    a.rows, a.n, a.scale, a.param = rows, n, scale, param
    a.p, a.target = vp.data, vt.data
    if weight is not None:
        vw = view(weight, table)
        a.weight = vw.data
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


def apply_gather(Table table, str source, data, Py_ssize_t stride, Py_ssize_t rows, Py_ssize_t n, out, *, order=None,
                 int64_t classes=0, axes=None):
    """Convert rows of `data` (bytes), `stride` bytes apart, into `out`; returns the first bad row, or −1.

    `axes` says where the n elements of a row lie, as `Run.source` has it; by default one after another.
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
        if classes:
            bad = table.c.gather_labels[which](rows, &row, vd.data, stride, index, known, classes, <int32_t *> vo.data)
        else:
            bad = table.c.gather[which](rows, &row, vd.data, stride, index, known, vo.data)
        nn_float_mode_leave(callers)
    return bad
