/* muon.h: the parts of a step of Muon (Jordan 2024) on a matrix of weights: momentum, and W ← W − η X.
 *
 * X, nearly the orthogonal factor of the momentum, is made between them by the iteration of Newton and Schulz, of
 * degree 5: S = X Xᵀ (or Xᵀ X, whichever is smaller), X ← a X + (b S + c S²) X.
 */
#ifndef NNCORE_MUON_H
#define NNCORE_MUON_H

#include "operations/parameters/reduce.h"
#include "operations/span.h"

SPAN(muon_momentum) {
    const nn_muon *own = run->optimizers[op->optimizer].numbers;
    const real mu = (real)own->momentum;
    const real *g = at(run, op->dW, first);
    real *m = at(run, op->m, first), *x = at(run, op->X, first);
    for (nn_index i = 0; i < count; i += LANES) {
        const vf now = load_some(g + i, count - i), mean = mu * load_some(m + i, count - i) + now;
        store_some(m + i, count - i, mean);
        store_some(x + i, count - i, own->nesterov != 0 ? now + mu * mean : mean);
    }
}

SPAN(normalize_matrix) {
    divide_by_norm(op->n, at(run, op->X, 0), 1e-7);
}

SPAN(matrix_product) {
    const int transposed_a = op->form == 2, transposed_b = op->form == 1;
    *(nn_gemm *)scratch = (nn_gemm){
        .M = op->rows, .N = op->n, .K = op->k,
        .A = at(run, op->A, 0), .a_row = transposed_a ? 1 : op->k, .a_col = transposed_a ? op->rows : 1,
        .B = at(run, op->B, 0), .b_row = transposed_b ? 1 : op->n, .b_col = transposed_b ? op->k : 1,
        .C = at(run, op->C, 0), .ldc = op->n, .activation = NN_ACTIVATION_linear,
    };
}

SPAN(combine) {
    const real *x = at(run, op->X, first), *z = at(run, op->Z, first);
    real *y = at(run, op->Y, first);
    const vf a = vset((real)op->a), b = vset((real)op->b);
    for (nn_index i = 0; i < count; i += LANES)
        store_some(y + i, count - i, a * load_some(x + i, count - i) + b * load_some(z + i, count - i));
}

SPAN(descend) {
    const vf step = vset((real)(nn_rule_now(run, op->optimizer).learning_rate * op->rate));
    const real *x = at(run, op->X, first);
    real *w = at(run, op->W, first);
    for (nn_index i = 0; i < count; i += LANES)
        store_some(w + i, count - i, load_some(w + i, count - i) - step * load_some(x + i, count - i));
}

#endif
