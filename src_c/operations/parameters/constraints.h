/* constraints.h: weights made to fit a constraint, in place.
 *
 * W is (outer,n,inner): a norm is that of the n elements at one place of outer and inner, of which `first` and `count`
 * number the places. norm: W ← W d / (‖W‖ + ε), d = rate clip(‖W‖, low, high) + (1 − rate) ‖W‖, where
 * low, high and rate are the parameters; non_neg: W ← max(W, 0), of elements (n = inner = 1). Squares of a column
 * are summed as its elements are in column_sums, those of a run as in sum_squares.
 */
#ifndef NNCORE_CONSTRAINTS_H
#define NNCORE_CONSTRAINTS_H

#include "operations/parameters/reduce.h"

#define NORM_EPSILON 1e-7

INLINE double norm_factor(double norm, const double *p) {
    const double clipped = norm < p[0] ? p[0] : norm > p[1] ? p[1] : norm;
    return (p[2] * clipped + (1 - p[2]) * norm) / (norm + NORM_EPSILON);
}

static void constrain_run(nn_index n, real *w, const double *p) {
    const vf factor = vset((real)norm_factor(sqrt(sum_scaled_squares(n, w, 1)), p));
    for (nn_index i = 0; i < n; i += LANES) store_some(w + i, n - i, factor * load_some(w + i, n - i));
}

/* Columns, up to a vector of them. */
static void constrain_columns(nn_index n, nn_index inner, nn_index left, real *w, const double *p) {
    vf total = {0}, factor = {0};
    for (nn_index i = 0; i < n; i += CHUNK_ROWS) {
        vf sum = {0};
        for (nn_index k = i; k < n && k < i + CHUNK_ROWS; k++) {
            const vf x = load_some(w + k * inner, left);
            sum += x * x;
        }
        total += sum;
    }
    for (nn_index j = 0; j < LANES; j++) factor[j] = (real)norm_factor(sqrt((double)total[j]), p);
    for (nn_index k = 0; k < n; k++) store_some(w + k * inner, left, factor * load_some(w + k * inner, left));
}

static void constrain(int function, nn_index n, nn_index inner, nn_index first, nn_index count, void *w_,
                      const double *parameters) {
    real *w = w_;
    if (function == NN_CONSTRAINT_non_neg) {
        for (nn_index i = first; i < first + count; i += LANES) {
            const nn_index left = first + count - i;
            const vf x = load_some(w + i, left);
            store_some(w + i, left, vselect(x < 0, (vf){0}, x));
        }
        return;
    }
    for (nn_index i = first; i < first + count;) {
        const nn_index o = i / inner, j = i % inner;
        const nn_index whole = inner - j < first + count - i ? inner - j : first + count - i;
        const nn_index left = whole < LANES ? whole : LANES;
        if (inner == 1)
            constrain_run(n, w + o * n, parameters);
        else
            constrain_columns(n, inner, left, w + o * n * inner + j, parameters);
        i += inner == 1 ? 1 : left;
    }
}

#endif
