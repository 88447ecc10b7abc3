/* normalization.h: rows brought to mean 0 and variance 1, and what follows for their gradients.
 *
 * Ba, Kiros, Hinton 2016, "Layer Normalization", arXiv:1607.06450, equations 3 and 4. The variance is that of
 * x − μ, so that nothing cancels. Sums over a row go by lanes, then across them: their order is given by n.
 */
#ifndef NNCORE_NORMALIZATION_H
#define NNCORE_NORMALIZATION_H

#include "operations/span.h"
#include "vectors/lanes.h"

INLINE vf row_mean(nn_index n, const real *x) {
    vf sum = {0};
    for (nn_index j = 0; j < n; j += LANES) sum += load_some(x + j, n - j);
    return across_sum(sum) / (real)n;
}

INLINE vf row_variance(nn_index n, const real *x, vf mean) {
    vf sum = {0};
    for (nn_index j = 0; j < n; j += LANES) {
        const vf d = keep_some(load_some(x + j, n - j) - mean, n - j, (vf){0});
        sum += d * d;
    }
    return across_sum(sum) / (real)n;
}

SPAN(layer_norm) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n), *gamma = at(run, op->gamma, 0), *beta = at(run, op->beta, 0);
    real *y = at(run, op->Y, first * n), *means = at(run, op->mean, first), *inverses = at(run, op->inverse, first);
    for (nn_index i = 0; i < count; i++, x += n, y += n) {
        const vf mean = row_mean(n, x), variance = row_variance(n, x, mean);
        const vf inverse = 1 / vsqrt(variance + (real)op->epsilon);
        for (nn_index j = 0; j < n; j += LANES) {
            vf v = (load_some(x + j, n - j) - mean) * inverse;
            if (gamma) v *= load_some(gamma + j, n - j);
            if (beta) v += load_some(beta + j, n - j);
            store_some(y + j, n - j, v);
        }
        if (means) means[i] = mean[0];
        if (inverses) inverses[i] = inverse[0];
    }
}

SPAN(layer_norm_backward) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n), *dy = at(run, op->dY, first * n), *gamma = at(run, op->gamma, 0);
    const real *means = at(run, op->mean, first), *inverses = at(run, op->inverse, first);
    real *dx = at(run, op->dX, first * n), *scaled = at(run, op->dY_scaled, first * n);
    for (nn_index i = 0; i < count; i++, x += n, dy += n) {
        const vf mean = vset(means[i]), inverse = vset(inverses[i]);
        vf sum = {0}, sum_hat = {0};
        for (nn_index j = 0; j < n; j += LANES) {
            const vf hat = (load_some(x + j, n - j) - mean) * inverse;
            const vf product = load_some(dy + j, n - j) * hat; /* 0 beyond the row, as dy is */
            const vf g = gamma ? load_some(gamma + j, n - j) : vset(1);
            sum += load_some(dy + j, n - j) * g;
            sum_hat += product * g;
            if (scaled) store_some(scaled + i * n + j, n - j, product);
        }
        if (!dx) continue;
        const vf average = across_sum(sum) / (real)n, average_hat = across_sum(sum_hat) / (real)n;
        for (nn_index j = 0; j < n; j += LANES) {
            const vf hat = (load_some(x + j, n - j) - mean) * inverse;
            const vf g = load_some(dy + j, n - j) * (gamma ? load_some(gamma + j, n - j) : vset(1));
            store_some(dx + i * n + j, n - j, inverse * (g - average - hat * average_hat));
        }
    }
}

#endif
