/* normalization.h: rows, or columns, brought to mean 0 and variance 1, and what follows for their gradients.
 *
 * Rows: Ba, Kiros, Hinton 2016, "Layer Normalization", arXiv:1607.06450, equations 3 and 4. The variance is that of
 * x − μ, so that nothing cancels. Sums over a row go by lanes, then across them: their order is given by n. As many
 * rows are done side by side as stay in L1 from one loop over them to the next; the next ones are fetched meanwhile, or
 * memory and arithmetic would take turns.
 *
 * Columns: see columns.h.
 */
#ifndef NNCORE_NORMALIZATION_H
#define NNCORE_NORMALIZATION_H

#include "operations/parameters/parts.h"
#include "operations/span.h"
#include "vectors/lanes.h"

enum { SIDE_BYTES = 2048 }; /* of a row, up to which SIDE of X and Y stay in L1; backward there are five such arrays */

_Static_assert((int)SIDE == (int)CHAINS, "rows that are done together belong to as many chains");

/* `scaled`: whether there is a gamma, as a constant, so that what is fused is the same for all rows. */
INLINE void normalize_rows(int rows, int scaled, const nn_op_layer_norm *op, const real *x, const real *gamma,
                           const real *beta, real *y, real *means, real *inverses) {
    const nn_index n = op->n;
    vf sum[SIDE] = {{0}}, mean[SIDE] = {{0}}, inverse[SIDE];
    if (!op->about_zero) {
        VECTORS(j, left, n, EACH(r, rows) sum[r] += load_some(x + r * n + j, left););
        EACH(r, rows) mean[r] = across_sum(sum[r]) / (real)n;
    }
    EACH(r, rows) sum[r] = (vf){0};
    VECTORS(j, left, n, EACH(r, rows) {
        const vf d = keep_some(load_some(x + r * n + j, left) - mean[r], left, (vf){0});
        sum[r] += d * d;
        __builtin_prefetch(y + r * n + j, 1);
    });
    EACH(r, rows) {
        inverse[r] = 1 / vsqrt(across_sum(sum[r]) / (real)n + (real)op->epsilon);
        if (means) means[r] = mean[r][0];
        if (inverses) inverses[r] = inverse[r][0];
    }
    VECTORS(j, left, n, {
        const vf g = scaled ? load_some(gamma + j, left) : (vf){0}, b = beta ? load_some(beta + j, left) : (vf){0};
        EACH(r, rows) {
            const vf hat = (load_some(x + r * n + j, left) - mean[r]) * inverse[r];
            const vf term = left < LANES ? unfused(hat) : hat; /* without gamma b is fused to whole vectors alone */
            store_some(y + r * n + j, left, scaled ? hat * g + b : term + b);
            __builtin_prefetch(x + (rows + r) * n + j);
        }
    });
}

INLINE void normalize_span(int scaled, const nn_op_layer_norm *op, nn_run *run, nn_index first, nn_index count) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n), *gamma = at(run, op->gamma, 0), *beta = at(run, op->beta, 0);
    real *y = at(run, op->Y, first * n), *means = at(run, op->mean, first), *inverses = at(run, op->inverse, first);
    nn_index i = 0;
#define NORMALIZE(rows)                                                                                               \
    for (; i + (rows) <= count; i += (rows))                                                                          \
        normalize_rows(rows, scaled, op, x + i * n, gamma, beta, y + i * n, means ? means + i : NULL,                 \
                       inverses ? inverses + i : NULL)
    if (n * (nn_index)sizeof(real) <= SIDE_BYTES) NORMALIZE(SIDE);
    NORMALIZE(2);
    NORMALIZE(1);
#undef NORMALIZE
}

SPAN(layer_norm) {
    if (at(run, op->gamma, 0))
        normalize_span(1, op, run, first, count);
    else
        normalize_span(0, op, run, first, count);
}

/* dgamma, dbeta: the chains of the first row; the next ones follow. */
INLINE void normalize_rows_backward(int rows, const nn_op_layer_norm_backward *op, const real *x, const real *dy,
                                    const real *gamma, const real *means, const real *inverses, real *dx,
                                    real *dgamma, real *dbeta) {
    const nn_index n = op->n;
    vf mean[SIDE], inverse[SIDE], sum[SIDE] = {{0}}, sum_hat[SIDE] = {{0}};
    EACH(r, rows) mean[r] = vset(means[r]), inverse[r] = vset(inverses[r]);
    VECTORS(j, left, n, {
        const vf g = gamma ? load_some(gamma + j, left) : vset(1);
        EACH(r, rows) {
            const vf d = load_some(dy + r * n + j, left);
            const vf hat = (load_some(x + r * n + j, left) - mean[r]) * inverse[r];
            const vf product = unfused(d * hat); /* 0 beyond the row, as d is */
            sum[r] += d * g;
            sum_hat[r] += product * g;
            if (dgamma) add_to_chain(dgamma + r * n, j, left, product);
            if (dbeta) add_to_chain(dbeta + r * n, j, left, d);
            if (rows == 1 && dx) __builtin_prefetch(dx + j, 1);
        }
    });
    if (!dx) return;
    EACH(r, rows) {
        sum[r] = op->about_zero ? (vf){0} : across_sum(sum[r]) / (real)n;
        sum_hat[r] = across_sum(sum_hat[r]) / (real)n;
    }
    VECTORS(j, left, n, {
        const vf factor = gamma ? load_some(gamma + j, left) : vset(1);
        EACH(r, rows) {
            const vf hat = (load_some(x + r * n + j, left) - mean[r]) * inverse[r];
            const vf g = load_some(dy + r * n + j, left) * factor;
            store_some(dx + r * n + j, left, inverse[r] * (g - sum[r] - hat * sum_hat[r]));
            if (rows == 1) __builtin_prefetch(x + n + j), __builtin_prefetch(dy + n + j);
        }
    });
}

SPAN(layer_norm_backward) {
    const nn_index n = op->n;
    const real *gamma = at(run, op->gamma, 0);
    for (const nn_index end = first + count; first < end; first += CHUNK_ROWS) {
        const nn_index rows = end - first < CHUNK_ROWS ? end - first : CHUNK_ROWS;
        const real *x = at(run, op->X, first * n), *dy = at(run, op->dY, first * n);
        const real *means = at(run, op->mean, first), *inverses = at(run, op->inverse, first);
        real *dx = at(run, op->dX, first * n);
        real *dgamma = open_part(at(run, op->dgamma, 0), first, n);
        real *dbeta = open_part(at(run, op->dbeta, 0), first, n);
        nn_index i = 0;
        if (n * (nn_index)sizeof(real) <= SIDE_BYTES / 4)
            for (; i + SIDE <= rows; i += SIDE)
                normalize_rows_backward(SIDE, op, x + i * n, dy + i * n, gamma, means + i, inverses + i,
                                        dx ? dx + i * n : NULL, dgamma, dbeta);
        for (; i < rows; i++)
            normalize_rows_backward(1, op, x + i * n, dy + i * n, gamma, means + i, inverses + i,
                                    dx ? dx + i * n : NULL, dgamma ? dgamma + i % CHAINS * n : NULL,
                                    dbeta ? dbeta + i % CHAINS * n : NULL);
        close_part(dgamma, n);
        close_part(dbeta, n);
    }
}

SPAN(unit_norm) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n);
    real *y = at(run, op->Y, first * n), *inverses = at(run, op->inverse, first);
    for (nn_index i = 0; i < count; i++, x += n, y += n) {
        vf sum = {0};
        VECTORS(j, left, n, {
            const vf v = load_some(x + j, left);
            sum += v * v;
        });
        const vf inverse = 1 / vsqrt(vmax(vset((real)op->epsilon), across_sum(sum)));
        VECTORS(j, left, n, store_some(y + j, left, load_some(x + j, left) * inverse););
        if (inverses) inverses[i] = inverse[0];
    }
}

SPAN(unit_norm_backward) {
    const nn_index n = op->n;
    const real *y = at(run, op->Y, first * n), *dy = at(run, op->dY, first * n);
    const real *inverses = at(run, op->inverse, first);
    real *dx = at(run, op->dX, first * n);
    const real flat = (1 / vsqrt(vset((real)op->epsilon)))[0]; /* the inverse where ε is the larger */
    for (nn_index i = 0; i < count; i++, y += n, dy += n, dx += n) {
        vf sum = {0};
        VECTORS(j, left, n, sum += load_some(y + j, left) * load_some(dy + j, left););
        const vf inverse = vset(inverses[i]), along = inverses[i] < flat ? across_sum(sum) : (vf){0};
        VECTORS(j, left, n, {
            const vf across = load_some(dy + j, left) - load_some(y + j, left) * along;
            store_some(dx + j, left, across * inverse);
        });
    }
}

SPAN(scale_backward) {
    const nn_index n = op->n;
    const real *gamma = at(run, op->gamma, 0);
    for (const nn_index end = first + count; first < end; first += CHUNK_ROWS) {
        const nn_index rows = end - first < CHUNK_ROWS ? end - first : CHUNK_ROWS;
        const real *x = at(run, op->X, first * n), *dy = at(run, op->dY, first * n);
        real *dx = at(run, op->dX, first * n);
        real *dgamma = open_part(at(run, op->dgamma, 0), first, n);
        real *dbeta = open_part(at(run, op->dbeta, 0), first, n);
        for (nn_index i = 0; i < rows; i++) {
            const nn_index chain = i % CHAINS * n;
            VECTORS(j, left, n, {
                const vf d = load_some(dy + i * n + j, left);
                if (dgamma) add_to_chain(dgamma + chain, j, left, unfused(d * load_some(x + i * n + j, left)));
                if (dbeta) add_to_chain(dbeta + chain, j, left, d);
                if (dx) store_some(dx + i * n + j, left, gamma ? d * load_some(gamma + j, left) : d);
            });
        }
        close_part(dgamma, n);
        close_part(dbeta, n);
    }
}

#endif
