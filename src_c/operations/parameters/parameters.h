/* parameters.h: the operations of the update section, and penalties: over chunks of the parameters, which the layout
 * alone gives, or of one parameter; every sum over chunks goes in their order. */
#ifndef NNCORE_PARAMETERS_H
#define NNCORE_PARAMETERS_H

#include "operations/parameters/adafactor.h"
#include "operations/parameters/constraints.h"
#include "operations/parameters/moments.h"
#include "operations/parameters/muon.h"
#include "operations/parameters/orthogonal.h"
#include "operations/parameters/reduce.h"
#include "operations/parameters/rules.h"
#include "operations/parameters/spectral.h"
#include "operations/span.h"

SPAN(penalty) {
    for (nn_index i = first; i < first + count; i++) {
        const nn_chunk *c = &run->chunks[i];
        *nn_partial(run, op->sum, i) = c->l1 != 0 || c->l2 != 0
            ? regularize(c->n, c->l1, c->l2, at(run, op->W, c->offset), at(run, op->dW, c->offset)) : 0;
    }
}

SPAN(activity_penalty) {
    const nn_index n = op->n;
    const double each = 1 / (double)run->samples;
    for (nn_index end = first + count; first < end; first += NN_CHUNK_ROWS) {
        double sum = 0;
        for (nn_index i = first; i < end && i < first + NN_CHUNK_ROWS; i++) {
            const real *y = at(run, op->Y, i * n);
            real *g = at(run, op->dY, i * n);
            sum += regularize(n, op->l1, op->l2, y, NULL);
            if (!g) continue;
            memset(g, 0, (size_t)n * sizeof(real));
            regularize(n, op->l1 * each, op->l2 * each, y, g);
        }
        *nn_partial(run, op->sum, first / NN_CHUNK_ROWS) = sum;
    }
}

SPAN(sum_parts) {
    sum_parts(run->samples * op->rows, count, at(run, op->parts, first), op->apart, at(run, op->dW, first),
              &run->nonfinite);
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

SPAN(collect) {
    const int last = (run->updates[1] + 1) % op->steps == 0;
    const vf factor = vset(last ? (real)(1.0 / (double)op->steps) : 1);
    for (nn_index k = first; k < first + count; k++) {
        const nn_chunk *c = &run->chunks[k];
        real *g = at(run, op->dW, c->offset), *sum = at(run, op->sum, c->offset);
        for (nn_index i = 0; i < c->n; i += LANES) {
            const vf total = load_some(sum + i, c->n - i) + load_some(g + i, c->n - i);
            store_some(sum + i, c->n - i, last ? (vf){0} : total);
            if (last) store_some(g + i, c->n - i, factor * total);
        }
    }
}

/* What brings the norm of g / unit, of the group of a chunk, down to clipnorm. `unit` is a power of two, apart from the
 * result, for their quotient may be beyond what a real can hold. */
static double norm_scale(const nn_run *run, double clipnorm, const double *norms, nn_index chunk, double *unit) {
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
    const int clips = sqrt(total) > clipnorm / greatest;
    *unit = clips ? greatest : 1;
    return clips ? clipnorm / sqrt(total) : 1;
}

/* Bring the packed copies of a chunk's weights up to date, while it is in cache. */
static void pack_chunk(nn_operand W, int precision, const nn_run *run, const nn_chunk *c) {
    for (int transposed = 0; transposed < 2; transposed++)
        if (c->outputs && c->packed[transposed] >= 0)
            run->table->pack(precision, transposed, c->inputs, c->outputs, c->first, c->n / c->outputs,
                             at(run, W, c->offset - c->first * c->outputs),
                             run->base[NN_BUFFER_packed] + c->packed[transposed]);
}

/* g as a rule is told it, and W decayed. */
static void prepare(nn_index n, const nn_rule *rule, real *w, real *g) {
    const coefficients c = coefficients_of(rule);
    for (nn_index i = 0; i < n; i += LANES) {
        const vf x = load_some(w + i, n - i);
        store_some(g + i, n - i, vclamp(c.scale * load_some(g + i, n - i), -c.clip, c.clip));
        store_some(w + i, n - i, x - c.decay * x);
    }
}

/* The operands of the state arrays of a chunk. */
INLINE void state_of(const nn_run *run, nn_operand first, const nn_chunk *c, void *state[NN_STATES]) {
    for (int k = 0; k < NN_STATES; k++)
        state[k] = at(run, (nn_operand){first.buffer + k, first.offset}, c->offset);
}

/* Σ W² and Σ u² of a chunk of lamb. */
static void measure(nn_index n, const real *w, void *const state[], const coefficients *c, double *sums) {
    vd weights = {0}, directions = {0};
    for (nn_index i = 0; i < n; i += LANES) {
        const vf m = load_some((real *)state[0] + i, n - i), v = load_some((real *)state[1] + i, n - i);
        weights += fold_squares(load_some(w + i, n - i));
        directions += fold_squares(keep_some(lamb_direction(m, v, c), n - i, (vf){0}));
    }
    sums[0] = across_total(weights), sums[1] = across_total(directions);
}

SPAN(update) {
    nn_rule rule = nn_rule_now(run, op->optimizer);
    const nn_optimizing *own = &run->optimizers[op->optimizer];
    const double rate = rule.learning_rate, decay = rule.weight_decay;
    int64_t group = -1;
    double unit = 1; /* what g is divided by, before rule.grad_scale: hardly ever anything else */
    for (nn_index i = first; i < first + count; i++) {
        const nn_chunk *c = &run->chunks[i];
        if (c->optimizer != op->optimizer) continue;
        void *const w = at(run, op->W, c->offset), *const g = at(run, op->dW, c->offset);
        void *state[NN_STATES];
        state_of(run, op->state, c, state);
        if (own->clipnorm != 0 && c->group != group) {
            group = c->group;
            rule.grad_scale = norm_scale(run, own->clipnorm, nn_at(run, op->norms), i, &unit);
        }
        if (unit != 1) rescale(c->n, 1 / unit, 0, g, g);
        rule.learning_rate = rate * c->rate;
        rule.weight_decay = decay * c->decay;
        if (c->whole) {
            prepare(c->n, &rule, w, g);
            continue;
        }
        run->table->update[op->function](1, NULL, c->n, w, g, state, &rule, own->numbers);
        double *sums = nn_at(run, op->measures);
        if (sums) {
            const coefficients k = coefficients_of_lamb(&rule, own->numbers);
            measure(c->n, w, state, &k, sums + 2 * i);
        }
        pack_chunk(op->W, (int)op->precision, run, c);
    }
}

/* ‖W‖ / ‖u‖ of the parameter of a chunk, whose chunks stand side by side; 1 where one of them is 0. */
static double trust_ratio(const nn_run *run, const double *measures, nn_index chunk) {
    const int64_t parameter = run->chunks[chunk].parameter;
    double weights = 0, directions = 0;
    nn_index i = chunk;
    while (i > 0 && run->chunks[i - 1].parameter == parameter) i--;
    for (; i < run->n_chunks && run->chunks[i].parameter == parameter; i++)
        weights += measures[2 * i], directions += measures[2 * i + 1];
    return weights > 0 && directions > 0 ? sqrt(weights) / sqrt(directions) : 1;
}

SPAN(trust) {
    const nn_rule rule = nn_rule_now(run, op->optimizer);
    const coefficients k = coefficients_of_lamb(&rule, run->optimizers[op->optimizer].numbers);
    for (nn_index i = first; i < first + count; i++) {
        const nn_chunk *c = &run->chunks[i];
        if (c->optimizer != op->optimizer) continue;
        const vf step = vset((real)(rule.learning_rate * c->rate * trust_ratio(run, nn_at(run, op->measures), i)));
        real *w = at(run, op->W, c->offset);
        void *state[NN_STATES];
        state_of(run, op->state, c, state);
        for (nn_index j = 0; j < c->n; j += LANES) {
            const nn_index left = c->n - j;
            const vf m = load_some((real *)state[0] + j, left), v = load_some((real *)state[1] + j, left);
            store_some(w + j, left, load_some(w + j, left) - step * lamb_direction(m, v, &k));
        }
        pack_chunk(op->W, (int)op->precision, run, c);
    }
}

SPAN(adafactor) {
    nn_rule rule = nn_rule_now(run, op->optimizer);
    rule.learning_rate *= op->rate;
    adafactor_parameter(run->optimizers[op->optimizer].numbers, &rule, op->matrices, op->rows, op->n, at(run, op->W, 0),
                     at(run, op->dW, 0), at(run, op->row, 0), at(run, op->column, 0));
}

SPAN(average) {
    const int64_t updates = run->updates[0] + 1;
    const real keep = updates == 1 ? 0 : (real)op->momentum;
    const int back = op->overwrite && updates % op->overwrite == 0;
    for (nn_index i = first; i < first + count; i++) {
        const nn_chunk *c = &run->chunks[i];
        if (c->optimizer != op->optimizer) continue;
        real *w = at(run, op->W, c->offset), *mean = at(run, op->mean, c->offset);
        for (nn_index j = 0; j < c->n; j += LANES) {
            const nn_index left = c->n - j;
            const vf m = keep * load_some(mean + j, left) + (1 - keep) * load_some(w + j, left);
            store_some(mean + j, left, m);
            if (back) store_some(w + j, left, m);
        }
        if (back) pack_chunk(op->W, (int)op->precision, run, c);
    }
}

SPAN(constrain) {
    constrain((int)op->function, op->n, op->inner, first, count, at(run, op->W, 0), op->parameters);
}

SPAN(constrain_signs) {
    const real *r = at(run, op->r, 0), *c = at(run, op->c, 0);
    for (nn_index i = first; i < first + count; i++) {
        real *w = at(run, op->W, i * op->n);
        for (nn_index j = 0; j < op->n; j += LANES) {
            const nn_index left = op->n - j;
            const vf x = load_some(w + j, left);
            store_some(w + j, left, vselect(r[i] * load_some(c + j, left) * x < 0, (vf){0}, x));
        }
    }
}

SPAN(repack) {
    for (nn_index i = first; i < first + count; i++) pack_chunk(op->W, (int)op->precision, run, &run->chunks[i]);
}

#endif
