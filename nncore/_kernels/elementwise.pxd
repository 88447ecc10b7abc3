from libc.stdint cimport int64_t

from nncore._kernels.table cimport nn_index, nn_member, nn_op, nn_run

cdef struct Span:
    nn_index first, count

cdef bint take(nn_run *run, int64_t index, nn_member *me, nn_index size, nn_index block, Span *span) noexcept nogil

cdef void activate(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
cdef void activate_backward(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
cdef void softmax(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
cdef void softmax_backward(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
cdef void dropout(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
cdef void rescale(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
cdef void add(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
cdef void multiply(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
cdef void copy(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
