/* orthogonal.h: the penalty factor Σ |rᵢ · rⱼ| / pairs over all pairs i < j of rows rᵢ of W, each divided by
 * its norm; with `columns`, of the columns of W. Its gradient is taken through the norms.
 */
#ifndef NNCORE_ORTHOGONAL_H
#define NNCORE_ORTHOGONAL_H

#include "operations/parameters/reduce.h"
#include "operations/span.h"

/* `room`: the rows, their products, and the gradient of the rows. Returns the penalty; g may be NULL. */
static double orthogonal(const nn_table *table, nn_index rows, nn_index n, int columns, double factor, const real *w,
                         real *g, real *room, void *scratch) {
    real *unit = room, *product = unit + rows * n, *slope = product + rows * rows, *norm = slope + rows * n;
    const double pairs = (double)rows * (double)(rows - 1) / 2;
    double total = 0;
    for (nn_index i = 0; i < rows; i++) {
        for (nn_index j = 0; j < n; j++) unit[i * n + j] = columns ? w[j * rows + i] : w[i * n + j];
        norm[i] = (real)sqrt(sum_scaled_squares(n, unit + i * n, 1));
        rescale(n, norm[i] > 0 ? 1 / (double)norm[i] : 0, 0, unit + i * n, unit + i * n);
    }
    if (rows < 2) return 0;
    nn_gemm p = {.M = rows, .N = rows, .K = n, .A = unit, .a_row = n, .a_col = 1, .B = unit, .b_row = 1, .b_col = n,
                 .C = product, .ldc = rows, .activation = NN_ACTIVATION_linear, .scratch = scratch};
    table->gemm[NN_PRECISION_highest](&p);
    for (nn_index i = 0; i < rows; i++) {
        for (nn_index j = 0; j < rows; j++) {
            const real x = i == j ? 0 : product[i * rows + j];
            total += fabs((double)x);
            product[i * rows + j] = x > 0 ? 1 : x < 0 ? -1 : 0;
        }
    }
    if (g) {
        nn_gemm s = {.M = rows, .N = n, .K = rows, .A = product, .a_row = rows, .a_col = 1, .B = unit, .b_row = n,
                     .b_col = 1, .C = slope, .ldc = n, .activation = NN_ACTIVATION_linear, .scratch = scratch};
        table->gemm[NN_PRECISION_highest](&s);
        for (nn_index i = 0; i < rows; i++) {
            double along = 0;
            for (nn_index j = 0; j < n; j++) along += (double)slope[i * n + j] * (double)unit[i * n + j];
            const double scale = norm[i] > 0 ? factor / pairs / (double)norm[i] : 0;
            for (nn_index j = 0; j < n; j++) {
                real *at = columns ? g + j * rows + i : g + i * n + j;
                *at += (real)(scale * ((double)slope[i * n + j] - along * (double)unit[i * n + j]));
            }
        }
    }
    return factor * 0.5 * total / pairs;
}

static double orthogonal_arrays(const nn_table *table, nn_index rows, nn_index n, int columns, double factor,
                                const void *w, void *g, void *room, void *scratch) {
    return orthogonal(table, rows, n, columns, factor, w, g, room, scratch);
}

SPAN(orthogonal_penalty) {
    *nn_partial(run, op->sum, 0) =
        orthogonal(run->table, op->rows, op->n, (int)op->columns, op->factor, at(run, op->W, 0), at(run, op->dW, 0),
                   at(run, op->room, 0), scratch);
}

#endif
