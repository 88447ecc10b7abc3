"""Products of whole arrays, as `nn.matmul` offers them: each in a parallel region of its own, where that pays."""

from cpython.buffer cimport (
    PyBUF_RECORDS, PyBUF_RECORDS_RO, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport parallel, threadid
from libc.math cimport INFINITY
from libc.stdlib cimport free
from libc.string cimport memset

from nncore._kernels.dense cimport Grid, grid, product_block
from nncore._kernels.ledger cimport Ledger
from nncore._kernels.table cimport (
    NN_ACTIVATION_linear, Table, aligned, nn_claim, nn_claim_rest, nn_core, nn_float_mode, nn_float_mode_enter,
    nn_float_mode_leave, nn_gemm, nn_index, nn_leave_core, nn_region_threads, nn_seconds, nn_table, nn_tiles,
    nn_tiles_leave, nn_tiles_reset,
)
from nncore._kernels.threads cimport team_size

from numpy import empty

cdef double LONG_FLOPS = 2e9      # of a product that one thread does in blocks, too, to look at signals in between
cdef double LOOK_SECONDS = 0.05   # between two looks


cdef struct Matrix:
    Py_buffer buffer
    bint held
    nn_index rows, cols, row, col   # row, col: strides in elements, one of them 1


cdef bint hold(Matrix *m, object array, int flags):
    """Hold the memory of `array`; False if it is no matrix of float or double that a kernel takes as it lies."""
    cdef Py_buffer *v = &m.buffer
    if not PyObject_CheckBuffer(array):
        return False
    try:
        PyObject_GetBuffer(array, v, flags)
    except (BufferError, TypeError, ValueError):
        return False
    m.held = True
    if v.ndim != 2 or (v.format[0] != c'f' and v.format[0] != c'd') or v.format[1]:
        return False
    if v.strides[0] % v.itemsize or v.strides[1] % v.itemsize:
        return False
    m.rows, m.cols = v.shape[0], v.shape[1]
    m.row, m.col = v.strides[0] // v.itemsize, v.strides[1] // v.itemsize
    if m.cols <= 1:   # of a lone row or column one stride means nothing, of an empty matrix both
        m.col = 1
    if m.rows <= 1 or m.cols == 0:
        m.row = max(1, m.cols) if m.col == 1 else 1
    return m.row > 0 and m.col > 0 and (m.row == 1 or m.col == 1)


cdef bint apart(const Matrix *m, const Matrix *out) noexcept:
    """Whether nothing of `out` lies between the first and the last element of `m`."""
    cdef char *first = <char *> m.buffer.buf
    cdef char *written = <char *> out.buffer.buf
    cdef nn_index span = ((m.rows - 1) * m.row + (m.cols - 1) * m.col + 1) * m.buffer.itemsize
    return (m.buffer.len == 0 or out.buffer.len == 0 or first + span <= written
            or written + out.buffer.len <= first)


cdef class Interrupt:
    """What a signal raised during a product."""

    cdef object raised
    cdef nn_float_mode callers   # of thread 0
    cdef bint came

    cdef void look(self) noexcept nogil:
        """Let signals be handled; on thread 0."""
        with gil:
            nn_float_mode_leave(self.callers)   # handlers are the caller's
            try:
                PyErr_CheckSignals()
            except BaseException as raised:
                self.raised, self.came = raised, True
            nn_float_mode_enter()


cdef void take_blocks(const nn_table *table, const nn_gemm *whole, int precision, const Grid *cut, nn_tiles *tiles,
                      char *scratch, int thread, double *pace, Interrupt interrupt) noexcept nogil:
    """One thread's blocks of a product; `pace`: of thread 0's fastest, in seconds per element."""
    cdef nn_gemm g = whole[0]
    cdef nn_index block = nn_claim(tiles), elements
    cdef double began = nn_seconds(), ended, look_at = began + LOOK_SECONDS
    cdef nn_float_mode callers = nn_float_mode_enter()
    if thread == 0:
        interrupt.callers = callers
    g.scratch = scratch + thread * table.gemm_scratch
    while block < cut.rows * cut.cols:
        elements = product_block(table, &g, precision, cut, block)
        if thread == 0:
            ended = nn_seconds()
            pace[0] = min(pace[0], (ended - began) / elements)
            began = ended
            if ended > look_at:
                interrupt.look()
                if interrupt.came:
                    nn_claim_rest(tiles)
                look_at = nn_seconds() + LOOK_SECONDS
        block = nn_claim(tiles)
    nn_float_mode_leave(callers)


cdef double product_of_team(const nn_table *table, const nn_gemm *g, int precision, char *scratch, int threads,
                            Interrupt interrupt) noexcept nogil:
    """A product in a parallel region of its own; its pace is returned, INFINITY if thread 0 had no block."""
    cdef Grid cut = grid(table, g, precision, threads)
    cdef nn_tiles tiles
    cdef double pace = INFINITY
    cdef int core
    nn_tiles_reset(&tiles, 1)
    core = nn_core()
    with parallel(num_threads=threads):
        if threadid() > 0:
            nn_leave_core(core)
        take_blocks(table, g, precision, &cut, &tiles, scratch, threadid(), &pace, interrupt)
        nn_tiles_leave(&tiles, threadid(), nn_region_threads())
    return pace


cdef class Scratch:
    """Room for the packed operands of `threads` threads."""

    cdef char *memory
    cdef int threads

    def __cinit__(self, size_t bytes, int threads):
        self.memory = <char *> aligned(threads * bytes)
        self.threads = threads

    def __dealloc__(self):
        free(self.memory)


cdef class Products:
    """Products of whole arrays, for any number of callers at once.

    Parameters
    ----------
    float32, float64 : Table
        Of one instruction set.
    """

    cdef Table float32, float64
    cdef list idle   # Scratch that nobody uses
    cdef Ledger ledger

    def __cinit__(self, Table float32, Table float64):
        self.float32, self.float64, self.idle, self.ledger = float32, float64, [], Ledger()

    def multiply(self, a, b, out, int precision, most_threads, double parallel_flops):
        """C = A B, on up to `most_threads()` threads if it costs `parallel_flops` or more, and they have paid of late.

        Parameters
        ----------
        a, b : ndarray
            (M,K) and (K,N), of one type; in each, one stride is one element.
        out : ndarray or None
            (M,N), C-contiguous, apart from a and b; None makes one.
        precision : int
            Of PRECISIONS.
        most_threads : callable
            Asked for long products only: a short one takes less than the question.

        Returns
        -------
        ndarray or None
            C; None where anything else was given, and nothing done.
        """
        cdef Matrix[3] m
        cdef int i
        m[0].held = m[1].held = m[2].held = False
        try:
            return self.product(m, a, b, out, precision, most_threads, parallel_flops)
        finally:
            for i in range(3):
                if m[i].held:
                    PyBuffer_Release(&m[i].buffer)

    cdef object product(self, Matrix *m, a, b, out, int precision, most_threads, double parallel_flops):
        cdef Matrix *x = &m[0]
        cdef Matrix *w = &m[1]
        cdef Matrix *c = &m[2]
        cdef Table table
        cdef Scratch scratch
        cdef Interrupt interrupt
        cdef nn_gemm g
        cdef double flops, pace, began = 0
        cdef int threads
        cdef nn_float_mode callers
        if not (hold(x, a, PyBUF_RECORDS_RO) and hold(w, b, PyBUF_RECORDS_RO)):
            return None
        if w.rows != x.cols or w.buffer.itemsize != x.buffer.itemsize:
            return None
        if x.rows == 1 and x.col != 1:  # copied, so that it is summed as the rows of a matrix are
            return None
        table = self.float32 if x.buffer.itemsize == 4 else self.float64
        if out is None:
            out = empty((x.rows, w.cols), table.dtype)
        if not hold(c, out, PyBUF_RECORDS) or c.buffer.itemsize != x.buffer.itemsize:
            return None
        if c.rows != x.rows or c.cols != w.cols or (c.buffer.len and (c.col != 1 or c.row != c.cols)):
            return None
        if not (apart(x, c) and apart(w, c)):
            return None
        memset(&g, 0, sizeof(g))
        g.M, g.N, g.K = c.rows, c.cols, x.cols
        g.A, g.a_row, g.a_col = x.buffer.buf, x.row, x.col
        g.B, g.b_row, g.b_col = w.buffer.buf, w.row, w.col
        g.C, g.ldc = c.buffer.buf, g.N
        g.activation = NN_ACTIVATION_linear
        flops = 2.0 * g.M * g.N * g.K
        threads = 1 if flops < parallel_flops else most_threads()
        if threads > 1:
            began = nn_seconds()
            threads = team_size(threads) if self.ledger.pays(flops, began) else 1
        scratch = self.idle.pop() if self.idle else None
        if scratch is None or scratch.threads < threads:
            scratch = Scratch(max(self.float32.c.gemm_scratch, self.float64.c.gemm_scratch), threads)
        precision = table.c.precision_for(precision, g.M, g.K, g.N)
        if threads == 1 and flops < LONG_FLOPS:
            g.scratch = scratch.memory
            with nogil:
                callers = nn_float_mode_enter()
                table.c.gemm[precision](&g)
                nn_float_mode_leave(callers)
        else:
            interrupt = Interrupt()
            with nogil:
                pace = product_of_team(table.c, &g, precision, scratch.memory, threads, interrupt)
            if interrupt.came:
                raise interrupt.raised
            if threads > 1:
                self.ledger.settle(flops, pace * g.M * g.N / flops, began, nn_seconds())
        self.idle.append(scratch)
        return out
