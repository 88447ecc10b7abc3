"""How threads divide an operation: by spans of what its pattern counts, or by tiles of a product."""

from libc.stdint cimport int64_t

from nncore._kernels.dense cimport product
from nncore._kernels.table cimport (
    NN_PATTERN_CHUNKS, NN_PATTERN_PRODUCT, nn_index, nn_member, nn_op, nn_run, nn_span, nn_take_tile,
)


cdef void perform(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """One thread's part of operation `index`: it takes tiles until none is left."""
    if op.pattern == NN_PATTERN_PRODUCT:
        product(op, run, index, me)
    else:
        spans(op, run, index, me)


cdef inline void spans(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Spans of `block`; one thread alone takes everything at once, unless the step is a long one."""
    cdef nn_span compute = run.table.span[op.kind]
    cdef nn_index count = run.n_chunks if op.pattern == NN_PATTERN_CHUNKS else op.fixed + op.per_sample * run.samples
    cdef nn_index block = op.block, first
    cdef void *scratch = run.scratch + me.thread * run.scratch_bytes
    if run.undivided:
        if count:
            compute(op, run, 0, count, scratch)
        return
    while nn_take_tile(run, index, me, (count + block - 1) // block):
        first = me.tile * block
        compute(op, run, first, min(block, count - first), scratch)
