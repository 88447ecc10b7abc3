/* span.h: what the C function of an operation looks like.
 *
 *     SPAN(softmax) { softmax(count, op->n, at(run, op->Z, first * op->n), at(run, op->Y, first * op->n)); }
 *
 * It computes `count` of what its pattern counts, from `first` on, on one thread; op is the operation's own struct.
 * `scratch` is memory of that thread. Of PRODUCT it only describes the product, to the nn_gemm that scratch points to.
 */
#ifndef NNCORE_SPAN_H
#define NNCORE_SPAN_H

#include "core/program.h"

#define SPAN(name)                                                                                                   \
    INLINE void name##_span(const nn_op_##name *, nn_run *, nn_index, nn_index, void *restrict);                     \
    static void span_##name(const nn_op *op, nn_run *run, nn_index first, nn_index count, void *scratch) {           \
        name##_span(&op->name, run, first, count, scratch);                                                          \
    }                                                                                                                \
    INLINE void name##_span(const nn_op_##name *op UNUSED, nn_run *run UNUSED, nn_index first UNUSED,                \
                            nn_index count UNUSED, void *restrict scratch UNUSED)

/* An operand, from its real `first` on; NULL: absent. */
INLINE void *at(const nn_run *run, nn_operand where, nn_index first) {
    char *memory = nn_at(run, where);
    return memory ? memory + first * (nn_index)sizeof(real) : NULL;
}

/* The key of an operation's random numbers, of stream `layer` + further; seed < 0: the model's. */
#define RANDOM_KEY(further)                                                                                          \
    {op->seed < 0 ? run->seed : (uint64_t)op->seed, (uint64_t)(op->layer + (further)) << 48 ^ (uint64_t)*run->step}

#endif
