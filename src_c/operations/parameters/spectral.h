/* spectral.h: W (rows,n) ← W / σ, where σ is what power iteration finds of its largest singular value:
 * v ← W u / ‖W u‖, u ← Wᵀ v / ‖Wᵀ v‖, σ = vᵀ W u = ‖Wᵀ v‖, begun at the u of the step before.
 * Where W or Wᵀ v is 0, W and u are left as they are. Miyato et al. 2018, algorithm 1.
 */
#ifndef NNCORE_SPECTRAL_H
#define NNCORE_SPECTRAL_H

#include "operations/parameters/reduce.h"
#include "operations/span.h"

SPAN(spectral_normalize) {
    const nn_index rows = op->rows, n = op->n;
    real *w = at(run, op->W, 0), *u = at(run, op->u, 0), *v = at(run, op->room, 0), *next = v + rows;
    nn_gemm by_columns = {.M = 1, .N = rows, .K = n, .A = u, .a_row = n, .a_col = 1, .B = w, .b_row = 1, .b_col = n,
                          .C = v, .ldc = rows, .activation = NN_ACTIVATION_linear, .scratch = scratch};
    nn_gemm by_rows = {.M = 1, .N = n, .K = rows, .A = v, .a_row = rows, .a_col = 1, .B = w, .b_row = n, .b_col = 1,
                       .C = next, .ldc = n, .activation = NN_ACTIVATION_linear, .scratch = scratch};
    double sigma = 0;
    for (nn_index i = 0; i < op->iterations; i++) {
        run->table->gemm[NN_PRECISION_highest](&by_columns);
        divide_by_norm(rows, v, 0);
        run->table->gemm[NN_PRECISION_highest](&by_rows);
        sigma = divide_by_norm(n, next, 0);
        if (!(sigma > 0)) return;
        memcpy(u, next, (size_t)n * sizeof(real));
    }
    rescale(rows * n, 1 / sigma, 0, w, w);
}

#endif
