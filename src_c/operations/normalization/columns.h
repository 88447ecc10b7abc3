/* columns.h: columns brought to mean 0 and variance 1, or by arrays, and what follows for their gradients.
 *
 * Ioffe, Szegedy 2015, "Batch Normalization", arXiv:1502.03167, algorithm 1. The moments are those of groups of 8 rows,
 * joined in order to those of chunks of rows (Chan, Golub, LeVeque 1983, equation 2.1), and these likewise, in float64:
 * X is read once, nothing cancels, and the rows alone give the order. Backward, Z is computed once more where there is
 * an activation behind it: that is less work than to read it. For a column, all that is done to X is x → (x − mean)
 * factor + offset, with the same bits forward and backward.
 */
#ifndef NNCORE_COLUMNS_H
#define NNCORE_COLUMNS_H

#include "operations/affine.h"
#include "operations/parameters/parts.h"
#include "operations/span.h"
#include "vectors/lanes.h"

enum { GROUP_ROWS = 8 };

INLINE vf sum_of(const vf v[GROUP_ROWS]) {
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}

/* One vector of columns of a group of rows, 0 beyond its end */
INLINE void load_group(nn_index rows, const real *x, nn_index n, nn_index left, vf v[GROUP_ROWS]) {
#pragma GCC unroll 8
    for (int i = 0; i < GROUP_ROWS; i++) v[i] = i < rows ? load_some(x + i * n, left) : (vf){0};
}

/* How many of these rows count; without a mask all do. */
INLINE nn_index counted(nn_index rows, const real *mask) {
    if (!mask) return rows;
    nn_index found = 0;
    for (nn_index i = 0; i < rows; i++) found += mask[i] != 0;
    return found;
}

/* Mean and Σ (x − mean)² of `before` rows become those of `before` and of `more`, which count of these. */
INLINE void add_moments(nn_index before, nn_index more, nn_index rows, nn_index n, const real *x, const real *mask,
                        real *mean, real *squares) {
    const real all = (real)(before + more), share = (real)more / all, between = (real)before * share;
    const vf per_row = vset(1 / (real)more);
    VECTORS(j, left, n, {
        vf v[GROUP_ROWS];
        load_group(rows, x + j, n, left, v);
        if (mask)
            for (int i = 0; i < rows; i++)
                if (mask[i] == 0) v[i] = (vf){0};
        const vf average = sum_of(v) * per_row;
        _Pragma("GCC unroll 8") for (int i = 0; i < GROUP_ROWS; i++) {
            const vf d = v[i] - average;
            v[i] = i < rows && (!mask || mask[i] != 0) ? d * d : (vf){0};
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

SPAN(column_moments) {
    const nn_index n = op->n, end = first + count;
    nn_index before = 0; /* of the chunk, which the span begins with */
    for (nn_index i = first; i < end; i += GROUP_ROWS) {
        const nn_index rows = end - i < GROUP_ROWS ? end - i : GROUP_ROWS;
        const real *x = at(run, op->X, i * n), *mask = at(run, op->mask, i);
        real *mean = at(run, op->parts, i / CHUNK_ROWS * 2 * n);
        if (i % CHUNK_ROWS == 0) before = 0;
        const nn_index more = counted(rows, mask);
        if (mask && before + more == 0)
            memset(mean, 0, (size_t)(2 * n) * sizeof(real));
        else if (mask && more)
            add_moments(before, more, rows, n, x, mask, mean, mean + n);
        else if (!mask && rows == GROUP_ROWS) /* a constant, known to the compiler */
            add_moments(before, GROUP_ROWS, GROUP_ROWS, n, x, NULL, mean, mean + n);
        else if (!mask)
            add_moments(before, rows, rows, n, x, NULL, mean, mean + n);
        before += more;
    }
}

INLINE void inverse_root(nn_index n, const real *variance, double epsilon, real *inverse) {
    for (nn_index j = 0; j < n; j += LANES)
        store_some(inverse + j, n - j, 1 / vsqrt(load_some(variance + j, n - j) + (real)epsilon));
}

enum { JOINED = 64 }; /* columns at a time */

SPAN(join_moments) {
    const nn_index n = op->n, rows = run->samples * op->rows;
    real *means = at(run, op->mean, first), *variances = at(run, op->variance, first);
    nn_index cols;
    for (nn_index j = 0; j < count; j += cols) {
        double mean[JOINED] = {0}, squares[JOINED] = {0}, before = 0;
        const real *part = at(run, op->parts, first + j);
        cols = count - j < JOINED ? count - j : JOINED;
        for (nn_index i = 0; i < rows; i += CHUNK_ROWS, part += 2 * n) {
            const double more = (double)counted(rows - i < CHUNK_ROWS ? rows - i : CHUNK_ROWS, at(run, op->mask, i));
            if (more == 0) continue;
            const double share = more / (before + more), between = before * share;
            before += more;
            for (nn_index k = 0; k < cols; k++) {
                const double delta = (double)part[k] - mean[k];
                mean[k] += delta * share;
                squares[k] += (double)part[n + k] + delta * delta * between;
            }
        }
        for (nn_index k = 0; k < cols; k++) {
            means[j + k] = (real)mean[k];
            variances[j + k] = (real)(squares[k] / (before > 0 ? before : 1));
        }
    }
    inverse_root(count, variances, op->epsilon, at(run, op->inverse, first));
}

/* Of so many columns at a time the numbers of each; by fewer, wide rows are read in pieces too short to be fetched
 * ahead. */
enum { AFFINE_COLUMNS = 512 };
#define AFFINE_OF(a, cols, mean, inverse, gamma, beta)                                                               \
    real numbers_of_##a[3 * AFFINE_COLUMNS];                                                                         \
    const affine a = affine_at(numbers_of_##a, AFFINE_COLUMNS);                                                      \
    affine_of(cols, mean, inverse, gamma, beta, numbers_of_##a, AFFINE_COLUMNS)

enum { ACTIVATED = 2048 }; /* elements that stay in L1 from one loop over them to the next, with others */

INLINE nn_index activated_rows(nn_index cols) { return cols < ACTIVATED ? ACTIVATED / cols : 1; }
INLINE nn_index affine_width(nn_index n, nn_index j) { return n - j < AFFINE_COLUMNS ? n - j : AFFINE_COLUMNS; }

SPAN(standardize) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n), *mean = at(run, op->mean, 0), *variance = at(run, op->variance, 0);
    const real *gamma = at(run, op->gamma, 0), *beta = at(run, op->beta, 0);
    real *y = at(run, op->Y, first * n), *z = at(run, op->Z, first * n), *made = z ? z : y;
    const int relu = op->function == NN_ACTIVATION_relu && !z;
    real inverse[AFFINE_COLUMNS];
    for (nn_index j = 0; j < n; j += AFFINE_COLUMNS) {
        const nn_index cols = affine_width(n, j);
        if (variance) inverse_root(cols, variance + j, op->epsilon, inverse);
        AFFINE_OF(a, cols, mean ? mean + j : NULL, variance ? inverse : NULL, gamma ? gamma + j : NULL,
                  beta ? beta + j : NULL);
        nn_index rows;
        for (nn_index i = 0; i < count; i += rows) {
            const nn_index at_i = i * n + j, most = activated_rows(cols);
            rows = count - i < most ? count - i : most;
            if (relu) {
                affine_columns(1, rows, cols, &a, x + at_i, n, y + at_i, n);
                continue;
            }
            affine_columns(0, rows, cols, &a, x + at_i, n, made + at_i, n);
            run->table->activate[op->function](rows, cols, made + at_i, n, y + at_i, n, op->parameters);
        }
    }
}

/* The numbers themselves, for operations that do the same to what they make. */
SPAN(affine) {
    const real *mean = at(run, op->mean, first), *variance = at(run, op->variance, first);
    const real *gamma = at(run, op->gamma, first), *beta = at(run, op->beta, first);
    real *const y = at(run, op->Y, first), *const factor = y + op->n;
    if (variance) inverse_root(count, variance, op->epsilon, factor);
    affine_of(count, mean, variance ? factor : NULL, gamma, beta, y, op->n);
}

/* How g = dY ⊙ f′ is made: f is linear, f is relu, or g lies there already. */
enum { AS_IT_IS, BY_RELU };

INLINE vf before_activation(int how, const affine *a, nn_index j, nn_index left, vf x, vf dy) {
    return how == BY_RELU ? dy * vselect(affine_vector(a, j, left, x) > 0, vset(1), (vf){0}) : dy;
}

static const int saved_is_z[] = {
#define Y 0
#define Z 1
#define ACTIVATION(name, saved, parameters) saved,
#include "kernels.def"
#undef Y
#undef Z
};

/* g (rows,cols) by f′, f being any; what it is a function of lies there before. */
INLINE void activation_repeated(const nn_table *table, int64_t function, const double *parameters, nn_index rows,
                                nn_index cols, const affine *a, const real *x, const real *dy, nn_index n, real *g) {
    affine_columns(0, rows, cols, a, x, n, g, cols);
    if (!saved_is_z[function]) table->activate[function](rows, cols, g, cols, g, cols, parameters);
    table->activate_backward[function](rows, cols, g, cols, dy, n, g, cols, parameters);
}

/* dβ += Σ g and dγ += Σ g (x − mean) of one group of rows; the first group sets them. */
INLINE void add_sums(int how, int start, nn_index rows, nn_index cols, const affine *a, const real *x, nn_index ldx,
                     const real *g, nn_index ldg, real *dgamma, real *dbeta) {
    VECTORS(j, left, cols, {
        const vf m = load_some(a->mean + j, left);
        vf v[GROUP_ROWS], d[GROUP_ROWS];
        load_group(rows, g + j, ldg, left, v);
        load_group(rows, x + j, ldx, left, d);
        _Pragma("GCC unroll 8") for (int i = 0; i < GROUP_ROWS; i++) {
            v[i] = before_activation(how, a, j, left, d[i], v[i]);
            d[i] = i < rows ? v[i] * (d[i] - m) : (vf){0};
        }
        vf beta = sum_of(v), gamma = sum_of(d);
        if (!start) beta += load_some(dbeta + j, left), gamma += load_some(dgamma + j, left);
        store_some(dbeta + j, left, beta);
        store_some(dgamma + j, left, gamma);
    });
}

SPAN(batch_norm_sums) {
    const nn_index n = op->n, end = first + count;
    const real *mean = at(run, op->mean, 0), *inverse = at(run, op->inverse, 0);
    const real *gamma = at(run, op->gamma, 0), *beta = at(run, op->beta, 0);
    const int relu = op->function == NN_ACTIVATION_relu, plain = op->function == NN_ACTIVATION_linear;
    real gradient[GROUP_ROWS * AFFINE_COLUMNS];
    for (nn_index j = 0; j < n; j += AFFINE_COLUMNS) {
        const nn_index cols = affine_width(n, j);
        AFFINE_OF(a, cols, mean + j, inverse + j, gamma ? gamma + j : NULL, beta ? beta + j : NULL);
        for (nn_index i = first; i < end; i += GROUP_ROWS) {
            const nn_index rows = end - i < GROUP_ROWS ? end - i : GROUP_ROWS, part = i / CHUNK_ROWS * CHAINS * n + j;
            const real *x = at(run, op->X, i * n + j), *g = at(run, op->dY, i * n + j);
            real *dgamma = at(run, op->dgamma, part), *dbeta = at(run, op->dbeta, part);
            const int start = i % CHUNK_ROWS == 0;
            nn_index ldg = n;
            if (!relu && !plain) {
                activation_repeated(run->table, op->function, op->parameters, rows, cols, &a, x, g, n, gradient);
                g = gradient, ldg = cols;
            }
            if (rows < GROUP_ROWS)
                add_sums(relu ? BY_RELU : AS_IT_IS, start, rows, cols, &a, x, n, g, ldg, dgamma, dbeta);
            else if (relu)
                add_sums(BY_RELU, start, GROUP_ROWS, cols, &a, x, n, g, ldg, dgamma, dbeta);
            else
                add_sums(AS_IT_IS, start, GROUP_ROWS, cols, &a, x, n, g, ldg, dgamma, dbeta);
            if ((i + GROUP_ROWS) % CHUNK_ROWS == 0 || i + GROUP_ROWS >= end)
                VECTORS(k, left, cols, {
                    const vf sum = load_some(dgamma + k, left) * load_some(inverse + j + k, left);
                    store_some(dgamma + k, left, sum);
                });
        }
    }
}

/* dX = factor (g − each − (x − mean) slope), `each` and `slope` of the columns; of rows that a mask leaves
 * out, on which the moments do not depend, factor g. */
INLINE void normalized_backward(int how, nn_index rows, nn_index cols, const affine *a, const real *each,
                                const real *slope, const real *mask, const real *x, nn_index n, const real *g,
                                nn_index ldg, real *dx) {
    for (nn_index i = 0; i < rows; i++, x += n, g += ldg, dx += n) {
        if (mask && mask[i] == 0) {
            VECTORS(j, left, cols, {
                const vf d = before_activation(how, a, j, left, load_some(x + j, left), load_some(g + j, left));
                store_some(dx + j, left, d * load_some(a->factor + j, left));
            });
            continue;
        }
        VECTORS(j, left, cols, {
            const vf v = load_some(x + j, left);
            const vf d = before_activation(how, a, j, left, v, load_some(g + j, left)) - load_some(each + j, left);
            const vf rest = d - (v - load_some(a->mean + j, left)) * load_some(slope + j, left);
            store_some(dx + j, left, rest * load_some(a->factor + j, left));
        });
    }
}

SPAN(batch_norm_backward) {
    const nn_index n = op->n;
    const real *mean = at(run, op->mean, 0), *inverse = at(run, op->inverse, 0);
    const real *gamma = at(run, op->gamma, 0), *beta = at(run, op->beta, 0);
    const real *dgamma = at(run, op->dgamma, 0), *dbeta = at(run, op->dbeta, 0);
    const real *count_of_mask = at(run, op->count, 0);
    const real all = count_of_mask ? *count_of_mask : (real)(run->samples * op->rows);
    const vf per_row = vset(1 / (all > 0 ? all : 1));
    real each[AFFINE_COLUMNS], slope[AFFINE_COLUMNS], gradient[ACTIVATED];
    for (nn_index j = 0; j < n; j += AFFINE_COLUMNS) {
        const nn_index cols = affine_width(n, j), most = activated_rows(cols);
        AFFINE_OF(a, cols, mean + j, inverse + j, gamma ? gamma + j : NULL, beta ? beta + j : NULL);
        VECTORS(k, left, cols, {
            store_some(each + k, left, load_some(dbeta + j + k, left) * per_row);
            const vf hat = load_some(dgamma + j + k, left) * per_row;
            store_some(slope + k, left, hat * load_some(inverse + j + k, left));
        });
        nn_index rows;
        for (nn_index i = first; i < first + count; i += rows) {
            rows = first + count - i < most ? first + count - i : most;
            const real *x = at(run, op->X, i * n + j), *dy = at(run, op->dY, i * n + j);
            const real *mask = at(run, op->mask, i);
            real *dx = at(run, op->dX, i * n + j);
            if (op->function == NN_ACTIVATION_relu)
                normalized_backward(BY_RELU, rows, cols, &a, each, slope, mask, x, n, dy, n, dx);
            else if (op->function == NN_ACTIVATION_linear)
                normalized_backward(AS_IT_IS, rows, cols, &a, each, slope, mask, x, n, dy, n, dx);
            else {
                activation_repeated(run->table, op->function, op->parameters, rows, cols, &a, x, dy, n, gradient);
                normalized_backward(AS_IT_IS, rows, cols, &a, each, slope, mask, x, n, gradient, cols, dx);
            }
        }
    }
}

#endif
