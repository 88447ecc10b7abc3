from libc.stdint cimport int64_t

from nncore._kernels.table cimport nn_gemm, nn_index, nn_member, nn_op, nn_run, nn_table


cdef struct Grid:
    nn_index row_block, rows, col_block, cols   # elements per block, and how many blocks


cdef Grid grid(const nn_table *table, const nn_gemm *g, int64_t precision, int64_t threads) noexcept nogil
cdef nn_index product_block(const nn_table *table, const nn_gemm *whole, int64_t precision, const Grid *cut,
                            nn_index block) noexcept nogil
cdef size_t parts_bytes(const nn_op *op, nn_run *run) noexcept nogil
cdef void product(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil
