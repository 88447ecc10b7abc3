from libc.stdint cimport int64_t

from nncore._kernels.table cimport nn_op, nn_run

cdef void penalty(const nn_op *op, nn_run *run, int64_t index, int thread) noexcept nogil
cdef void norms(const nn_op *op, nn_run *run, int64_t index, int thread) noexcept nogil
cdef void update(const nn_op *op, nn_run *run, int64_t index, int thread) noexcept nogil
