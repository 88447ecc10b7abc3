from libc.stdint cimport int64_t

from nncore._kernels.table cimport nn_member, nn_op, nn_run

cdef void perform(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
cdef void perform_chain(const nn_op *ops, nn_run *run, int64_t index, nn_member *me) noexcept nogil
