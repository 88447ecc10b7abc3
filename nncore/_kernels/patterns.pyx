"""How threads divide an operation: by spans of what its pattern counts, or by tiles of a product."""

from libc.stdint cimport int64_t

from nncore._kernels.dense cimport product
from nncore._kernels.table cimport (
    NN_PATTERN_CHUNKS, NN_PATTERN_PRODUCT, nn_at_samples, nn_fetch_samples, nn_index, nn_member, nn_op, nn_run,
    nn_take_tile,
)


cdef enum:
    CHAIN_BLOCKS = 8   # of samples, for each thread


cdef void perform(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """One thread's part of operation `index`: it takes tiles until none is left."""
    cdef nn_index count
    if op.pattern == NN_PATTERN_PRODUCT:
        product(op, run, index, me)
    elif run.undivided:  # one thread alone, in a step that is not a long one
        count = total(op, run)
        if count:
            run.table.span[op.kind](op, run, 0, count, run.scratch + me.thread * run.scratch_bytes)
    else:
        spans(op, run, index, me)


cdef inline nn_index total(const nn_op *op, const nn_run *run) noexcept nogil:
    """How much there is of what the pattern counts."""
    return run.n_chunks if op.pattern == NN_PATTERN_CHUNKS else op.fixed + op.per_sample * run.samples


cdef void spans(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """Spans of `block`, until none is left."""
    cdef nn_index count = total(op, run), block = op.block, first
    while nn_take_tile(run, index, me, (count + block - 1) // block):
        first = me.tile * block
        run.table.span[op.kind](op, run, first, min(block, count - first), run.scratch + me.thread * run.scratch_bytes)


cdef void perform_chain(const nn_op *ops, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """One thread's part of the operations of a chain, which begins with `index`: some samples through all of them."""
    cdef nn_index samples = run.samples, step = ops.chain_step, most = ops.chain_most, first, block
    if run.threads > 1:  # enough blocks that no thread waits long for another
        most = max(step, min(most, samples // (CHAIN_BLOCKS * run.threads) // step * step))
    if run.undivided:
        for block in range((samples + most - 1) // most):
            some_samples(ops, run, block * most, min(most, samples - block * most), me)
        return
    while nn_take_tile(run, index, me, (samples + most - 1) // most):
        first = me.tile * most
        some_samples(ops, run, first, min(most, samples - first), me)


cdef inline void some_samples(const nn_op *ops, nn_run *run, nn_index first, nn_index count,
                              nn_member *me) noexcept nogil:
    cdef int64_t i
    cdef nn_op mine
    cdef const nn_op *op
    nn_fetch_samples(run, ops, first + count, min(count, run.samples - first - count), me.thread)
    for i in range(ops.chain):
        op = nn_at_samples(&ops[i], &mine, run, first, me.thread)
        run.table.span[op.kind](op, run, first * op.per_sample, count * op.per_sample,
                                run.scratch + me.thread * run.scratch_bytes)
