from libc.stdint cimport int64_t

from nncore._kernels.gate cimport Gate
from nncore._kernels.table cimport (
    View, nn_accumulator, nn_binding, nn_member, nn_moving, nn_run, nn_scheduled, nn_section,
)


cdef class Run:
    cdef nn_run r
    cdef nn_accumulator *accumulators
    cdef nn_scheduled *scheduled
    cdef const nn_section *sections
    cdef const nn_moving *moving
    cdef View sections_held, moving_held, locals_held, distant_held
    cdef int64_t n_sections, n_ops, max_samples, max_threads, copies, workspace, batch
    cdef dict held
    cdef Gate gate
    cdef object table, ops_held, chunks_held
    cdef int64_t *copy_bytes

    cdef object take_accumulators(self, View given)
    cdef nn_binding *binding(self, int which) except NULL
    cdef char *rows_from(self, int which, int64_t row, int thread) noexcept nogil
    cdef void take_all(self, nn_run *run, nn_member *me) noexcept nogil
    cdef void take_part(self, nn_run *run, int64_t first, int64_t last, nn_member *me) noexcept nogil
