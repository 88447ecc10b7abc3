/* parameters.h: the operations of the update section, and penalties: over chunks of the parameters, which the layout
 * alone gives; every sum over chunks goes in their order. */
#ifndef NNCORE_PARAMETERS_H
#define NNCORE_PARAMETERS_H

#include "operations/parameters/reduce.h"
#include "operations/parameters/update.h"
#include "operations/span.h"

SPAN(penalty) {
    for (nn_index i = first; i < first + count; i++) {
        const nn_chunk *c = &run->chunks[i];
        *nn_partial(run, op->sum, i) = c->l1 != 0 || c->l2 != 0
            ? regularize(c->n, c->l1, c->l2, at(run, op->W, c->offset), at(run, op->dW, c->offset)) : 0;
    }
}

SPAN(add_gradient) {
    real *g = at(run, op->dW, first);
    add_elements(count, g, at(run, op->more, first), g);
    if (any_nonfinite(1, count, g, count)) nn_set_flag(&run->nonfinite);
}

SPAN(moving_average) {
    real *s = at(run, op->S, first);
    const real *x = at(run, op->X, first);
    const vf keep = vset((real)op->momentum), take = vset((real)(1 - op->momentum));
    for (nn_index i = 0; i < count; i += LANES)
        store_some(s + i, count - i, keep * load_some(s + i, count - i) + take * load_some(x + i, count - i));
}

SPAN(norms) {
    double *norms = nn_at(run, op->norms); /* (chunks,2): Σ (g / unit)², unit */
    for (nn_index i = first; i < first + count; i++)
        norms[2 * i] = sum_squares(run->chunks[i].n, at(run, op->dW, run->chunks[i].offset), &norms[2 * i + 1]);
}

/* What brings the norm of g / unit, of the group of a chunk, down to clipnorm. `unit` is a power of two, apart from the
 * result, for their quotient may be beyond what a real can hold. */
static double norm_scale(const nn_run *run, const double *norms, nn_index chunk, double *unit) {
    const int64_t group = run->chunks[chunk].group;
    nn_index first = chunk, end = chunk; /* a group's chunks stand side by side */
    double total = 0, greatest = 0;
    while (first > 0 && run->chunks[first - 1].group == group) first--;
    while (end < run->n_chunks && run->chunks[end].group == group) end++;
    for (nn_index i = first; i < end; i++) greatest = norms[2 * i + 1] > greatest ? norms[2 * i + 1] : greatest;
    for (nn_index i = first; i < end; i++) {
        const double ratio = norms[2 * i + 1] / greatest;
        total += norms[2 * i] * ratio * ratio;
    }
    const int clips = sqrt(total) > run->clipnorm / greatest;
    *unit = clips ? greatest : 1;
    return clips ? run->clipnorm / sqrt(total) : 1;
}

/* Bring the packed copies of a chunk's weights up to date, while it is in cache. */
static void repack(const nn_op_update *op, const nn_run *run, const nn_chunk *c) {
    for (int transposed = 0; transposed < 2; transposed++)
        if (c->outputs && c->packed[transposed] >= 0)
            run->table->pack((int)op->precision, transposed, c->inputs, c->outputs, c->first, c->n / c->outputs,
                             at(run, op->W, c->offset - c->first * c->outputs),
                             run->base[NN_BUFFER_packed] + c->packed[transposed]);
}

SPAN(update) {
    nn_rule rule = nn_rule_now(run);
    const double decay = rule.weight_decay;
    int64_t group = -1;
    double unit = 1; /* what g is divided by, before rule.grad_scale: hardly ever anything else */
    for (nn_index i = first; i < first + count; i++) {
        const nn_chunk *c = &run->chunks[i];
        void *const w = at(run, op->W, c->offset), *const g = at(run, op->dW, c->offset);
        void *state[NN_STATES];
        for (int k = 0; k < NN_STATES; k++)
            state[k] = at(run, (nn_operand){op->state.buffer + k, op->state.offset}, c->offset);
        if (run->clipnorm != 0 && c->group != group) {
            group = c->group;
            rule.grad_scale = norm_scale(run, nn_at(run, op->norms), i, &unit);
        }
        if (unit != 1) rescale(c->n, 1 / unit, 0, g, g);
        rule.weight_decay = decay * c->decay;
        run->table->update[op->function](1, NULL, c->n, w, g, state, &rule, run->numbers);
        repack(op, run, c);
    }
}

#endif
