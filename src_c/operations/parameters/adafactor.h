/* adafactor.h: the rule of Shazeer & Stern 2018, algorithms 4 and 5, on one parameter.
 *
 * Of a matrix (rows,n) of g² + ε₁ it keeps means of rows r and of columns c alone, each a running mean with
 * β_t = 1 − t^decay; v = r c / mean(r). Of a vector it keeps v itself, in `row`. u = g / √v is scaled down to an
 * RMS of clip_threshold, and W ← W − α u with α = max(ε₂, RMS(W)) ρ_t, where ρ_t = min(η, 1 / √t) if the
 * step is relative, or follows no schedule. Sums go by rows, in float64; those of columns in reals, in the order of
 * rows.
 */
#ifndef NNCORE_ADAFACTOR_H
#define NNCORE_ADAFACTOR_H

#include "operations/parameters/reduce.h"
#include "operations/parameters/update.h"

INLINE double root_mean_square(nn_index n, const real *x) { return sqrt(sum_scaled_squares(n, x, 1) / (double)n); }

/* s ← keep s + (1 − keep) (g² + ε) */
static void follow_squares(nn_index n, const real *g, real keep, real epsilon, real *s) {
    for (nn_index i = 0; i < n; i += LANES) {
        const vf x = vclamp(load_some(g + i, n - i), -(real)ROOT_MAX, (real)ROOT_MAX);
        store_some(s + i, n - i, keep * load_some(s + i, n - i) + (1 - keep) * (x * x + epsilon));
    }
}

/* g ← g / √(scale v) */
static void over_root(nn_index n, real scale, const real *v, real *g) {
    for (nn_index i = 0; i < n; i += LANES) {
        const vf x = vclamp(load_some(g + i, n - i), -(real)ROOT_MAX, (real)ROOT_MAX);
        const vf root = vmax(vset((real)(1 / ROOT_MAX)), vsqrt(scale * load_some(v + i, n - i)));
        store_some(g + i, n - i, x / root);
    }
}

/* Row and column means of one matrix, and g in place of u. */
static void factored(nn_index rows, nn_index n, real keep, real epsilon, real *row, real *column, real *g) {
    double total = 0;
    for (nn_index j = 0; j < n; j++) column[j] *= keep;
    for (nn_index i = 0; i < rows; i++) {
        real *x = g + i * n;
        const real part = (1 - keep) / (real)rows;
        vd sum = {0};
        for (nn_index j = 0; j < n; j += LANES) {
            const vf xj = vclamp(load_some(x + j, n - j), -(real)ROOT_MAX, (real)ROOT_MAX);
            sum += fold_squares(xj);
            store_some(column + j, n - j, load_some(column + j, n - j) + part * (xj * xj + epsilon));
        }
        row[i] = keep * row[i] + (1 - keep) * (real)(across_total(sum) / (double)n + epsilon);
        total += (double)row[i];
    }
    const double mean = fmax(total / (double)rows, MIN_NORMAL);
    for (nn_index i = 0; i < rows; i++) over_root(n, (real)((double)row[i] / mean), column, g + i * n);
}

static void adafactor_parameter(const nn_adafactor *own, const nn_rule *r, nn_index matrices, nn_index rows, nn_index n,
                             real *W, real *g, real *row, real *column) {
    const nn_index size = (matrices ? matrices * rows : 1) * n;
    const double t = r->step, relative = 1 / sqrt(t);
    const double keep = 1 - pow(t, own->beta_2_decay), rho = fmin(r->learning_rate, relative);
    const double alpha = fmax(own->epsilon_2, root_mean_square(size, W)) * rho;
    if (!matrices) {
        follow_squares(n, g, (real)keep, (real)own->epsilon_1, row);
        over_root(n, 1, row, g);
    }
    for (nn_index k = 0; k < matrices; k++)
        factored(rows, n, (real)keep, (real)own->epsilon_1, row + k * rows, column + k * n, g + k * rows * n);
    const vf step = vset((real)(alpha / fmax(1, root_mean_square(size, g) / own->clip_threshold)));
    for (nn_index i = 0; i < size; i += LANES)
        store_some(W + i, size - i, load_some(W + i, size - i) - step * load_some(g + i, size - i));
}

/* A run of a parameter tells nothing: there is no rule for it. */
UPDATE(adafactor) { (void)u, (void)r, (void)numbers; }

#endif
