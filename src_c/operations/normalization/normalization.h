/* normalization.h: rows, or columns, brought to mean 0 and variance 1, and what follows for their gradients.
 *
 * Rows: Ba, Kiros, Hinton 2016, "Layer Normalization", arXiv:1607.06450, equations 3 and 4. The variance is that of
 * x − μ, so that nothing cancels. Sums over a row go by lanes, then across them: their order is given by n. As many
 * rows are done side by side as stay in L1 from one loop over them to the next; the next ones are fetched meanwhile, or
 * memory and arithmetic would take turns.
 *
 * Columns: Ioffe, Szegedy 2015, "Batch Normalization", arXiv:1502.03167, algorithm 1. Their moments are those of
 * groups of 8 rows, joined in order (Chan, Golub, LeVeque 1983, equation 2.1), so that X is read once and nothing
 * cancels; order: rows. A column is never told which others stand beside it.
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

enum { GROUP_ROWS = 8 };

INLINE vf sum_of(const vf v[GROUP_ROWS]) {
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

/* One vector of columns of a group of rows, 0 beyond its end */
INLINE void load_group(nn_index rows, const real *x, nn_index n, nn_index left, vf v[GROUP_ROWS]) {
#pragma GCC unroll 8
    for (int i = 0; i < GROUP_ROWS; i++) v[i] = i < rows ? load_some(x + i * n, left) : (vf){0};
}

/* Mean and Σ (x − mean)² of `before` rows become those of `before` + `rows`. */
INLINE void join_moments(nn_index before, nn_index rows, nn_index n, nn_index cols, const real *x, real *mean,
                         real *squares) {
    const real all = (real)(before + rows), share = (real)rows / all, between = (real)before * share;
    const vf per_row = vset(1 / (real)rows);
    VECTORS(j, left, cols, {
        vf v[GROUP_ROWS];
        load_group(rows, x + j, n, left, v);
        const vf average = sum_of(v) * per_row;
        _Pragma("GCC unroll 8") for (int i = 0; i < GROUP_ROWS; i++) {
            const vf d = v[i] - average;
            v[i] = i < rows ? d * d : (vf){0};
        }
        vf m = average, m2 = sum_of(v);
        if (before) {
            const vf old = load_some(mean + j, left), delta = average - old;
            m = old + delta * share;
            m2 += load_some(squares + j, left) + delta * delta * between;
        }
        store_some(mean + j, left, m);
        store_some(squares + j, left, m2);
    });
}

/* (x − mean) inverse γ + β of some columns of many rows; each array may be absent */
INLINE void standardize_columns(nn_index rows, nn_index n, nn_index cols, const real *x, const real *mean,
                                const real *inverse, const real *gamma, const real *beta, real *y) {
    for (; rows > 0; rows--, x += n, y += n)
        VECTORS(j, left, cols, {
            vf v = load_some(x + j, left);
            if (mean) v -= load_some(mean + j, left);
            if (inverse) v *= load_some(inverse + j, left);
            if (gamma) v *= load_some(gamma + j, left);
            if (beta) v += load_some(beta + j, left);
            store_some(y + j, left, v);
        });
}

INLINE void inverse_root(nn_index n, const real *variance, double epsilon, real *inverse) {
    for (nn_index j = 0; j < n; j += LANES)
        store_some(inverse + j, n - j, 1 / vsqrt(load_some(variance + j, n - j) + (real)epsilon));
}

SPAN(batch_norm) {
    const nn_index n = op->n, rows = run->samples * op->rows;
    const real *x = at(run, op->X, first);
    real *mean = at(run, op->mean, first), *variance = at(run, op->variance, first);
    real *inverse = at(run, op->inverse, first);
    for (nn_index i = 0; i < rows; i += GROUP_ROWS) {
        if (rows - i >= GROUP_ROWS) /* a constant, known to the compiler */
            join_moments(i, GROUP_ROWS, n, count, x + i * n, mean, variance);
        else
            join_moments(i, rows - i, n, count, x + i * n, mean, variance);
    }
    for (nn_index j = 0; j < count; j += LANES)
        store_some(variance + j, count - j, load_some(variance + j, count - j) * vset(1 / (real)rows));
    inverse_root(count, variance, op->epsilon, inverse);
    standardize_columns(rows, n, count, x, mean, inverse, at(run, op->gamma, first), at(run, op->beta, first),
                        at(run, op->Y, first));
}

/* dβ += Σ dy and dγ += Σ dy x̂ of one group of rows; the first group sets them. */
INLINE void add_sums(int start, nn_index rows, nn_index n, nn_index cols, const real *x, const real *dy,
                     const real *mean, const real *inverse, real *dgamma, real *dbeta) {
    VECTORS(j, left, cols, {
        const vf m = load_some(mean + j, left), s = load_some(inverse + j, left);
        vf v[GROUP_ROWS], hat[GROUP_ROWS];
        load_group(rows, dy + j, n, left, v);
        load_group(rows, x + j, n, left, hat);
        _Pragma("GCC unroll 8") for (int i = 0; i < GROUP_ROWS; i++)
            hat[i] = i < rows ? v[i] * ((hat[i] - m) * s) : (vf){0};
        vf beta = sum_of(v), gamma = sum_of(hat);
        if (!start) beta += load_some(dbeta + j, left), gamma += load_some(dgamma + j, left);
        store_some(dbeta + j, left, beta);
        store_some(dgamma + j, left, gamma);
    });
}

SPAN(batch_norm_backward) {
    const nn_index n = op->n, rows = run->samples * op->rows;
    const real *x = at(run, op->X, first), *dy = at(run, op->dY, first), *gamma = at(run, op->gamma, first);
    const real *mean = at(run, op->mean, first), *inverse = at(run, op->inverse, first);
    real *dx = at(run, op->dX, first), *dgamma = at(run, op->dgamma, first), *dbeta = at(run, op->dbeta, first);
    for (nn_index i = 0; i < rows; i += GROUP_ROWS) {
        if (rows - i >= GROUP_ROWS)
            add_sums(i == 0, GROUP_ROWS, n, count, x + i * n, dy + i * n, mean, inverse, dgamma, dbeta);
        else
            add_sums(i == 0, rows - i, n, count, x + i * n, dy + i * n, mean, inverse, dgamma, dbeta);
    }
    if (any_nonfinite(1, count, dgamma, count) || any_nonfinite(1, count, dbeta, count)) nn_set_flag(&run->nonfinite);
    const vf per_row = vset(1 / (real)rows);
    for (nn_index i = 0; dx && i < rows; i++)
        VECTORS(j, left, count, {
            const nn_index k = i * n + j;
            const vf s = load_some(inverse + j, left);
            const vf hat = (load_some(x + k, left) - load_some(mean + j, left)) * s;
            const vf average = (load_some(dbeta + j, left) + hat * load_some(dgamma + j, left)) * per_row;
            const vf g = (load_some(dy + k, left) - average) * s;
            store_some(dx + k, left, gamma ? g * load_some(gamma + j, left) : g);
        });
}

enum { STANDARDIZED_COLUMNS = 1024 }; /* whose inverse roots are computed at once */

SPAN(standardize) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n), *mean = at(run, op->mean, 0), *variance = at(run, op->variance, 0);
    const real *gamma = at(run, op->gamma, 0), *beta = at(run, op->beta, 0);
    real *y = at(run, op->Y, first * n), inverse[STANDARDIZED_COLUMNS];
    for (nn_index j = 0; j < n; j += STANDARDIZED_COLUMNS) {
        const nn_index cols = n - j < STANDARDIZED_COLUMNS ? n - j : STANDARDIZED_COLUMNS;
        if (variance) inverse_root(cols, variance + j, op->epsilon, inverse);
        standardize_columns(count, n, cols, x + j, mean ? mean + j : NULL, variance ? inverse : NULL,
                            gamma ? gamma + j : NULL, beta ? beta + j : NULL, y + j);
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
