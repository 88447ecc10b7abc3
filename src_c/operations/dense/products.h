/* products.h: the operations of a dense layer as products, which nncore/_kernels/dense.pyx divides. */
#ifndef NNCORE_PRODUCTS_H
#define NNCORE_PRODUCTS_H

#include "operations/parameters/reduce.h"
#include "operations/span.h"

/* Fields that a whole product leaves empty. All fields are named below: to zero the others first would cost as much as
 * to find these. */
#define WHOLE .column = 0, .part = 0, .add = 0, .a_piece = 0, .segments = 0, .scratch = NULL

SPAN(dense_forward) {
    *(nn_gemm *)scratch = (nn_gemm){
        .M = run->samples * op->rows, .N = op->n, .K = op->k,
        .A = at(run, op->X, 0), .a_row = op->k, .a_col = 1,
        .B = at(run, op->W, 0), .b_row = op->n, .b_col = 1,
        .packed = at(run, op->packed, 0), .bias = at(run, op->b, 0),
        .affine = at(run, op->affine, 0), .ldaffine = op->n,
        .C = at(run, op->Y, 0), .ldc = op->n, .Z = at(run, op->Z, 0), .ldz = op->n,
        .saved = NULL, .ldsaved = 0, .nonfinite = NULL, WHOLE,
        .precision = (int)op->precision, .activation = (int)op->function, .parameters = op->parameters,
    };
}

SPAN(dense_backward_input) {
    *(nn_gemm *)scratch = (nn_gemm){
        .M = run->samples * op->rows, .N = op->k, .K = op->n,
        .A = at(run, op->dY, 0), .a_row = op->n, .a_col = 1,
        .B = at(run, op->W, 0), .b_row = 1, .b_col = op->n,
        .packed = at(run, op->packed, 0), .bias = NULL, .affine = NULL, .ldaffine = 0, .Z = NULL, .ldz = 0,
        .nonfinite = NULL, WHOLE,
        .C = at(run, op->dX, 0), .ldc = op->k, .saved = at(run, op->saved, 0), .ldsaved = op->k,
        .precision = (int)op->precision, .activation = (int)op->function, .parameters = op->parameters,
    };
}

SPAN(dense_backward_weights) {
    *(nn_gemm *)scratch = (nn_gemm){
        .M = op->k, .N = op->n, .K = run->samples * op->rows,
        .A = at(run, op->X, 0), .a_row = 1, .a_col = op->k,
        .B = at(run, op->dY, 0), .b_row = op->n, .b_col = 1,
        .C = at(run, op->dW, 0), .ldc = op->n, .packed = NULL, .bias = NULL, .affine = NULL, .ldaffine = 0,
        .Z = NULL, .ldz = 0, WHOLE,
        .saved = NULL, .ldsaved = 0, .activation = NN_ACTIVATION_linear, .parameters = NULL,
        .precision = (int)op->precision, .nonfinite = &run->nonfinite,
    };
}

/* A product for each of some positions, whose operands lie so many reals apart. */
INLINE void multiply_at_positions(const nn_run *run, nn_index positions, nn_gemm g,
                                  nn_index a, nn_index b, nn_index c) {
    const real *const A = g.A, *const B = g.B;
    real *const C = g.C;
    for (nn_index p = 0; p < positions; p++) {
        g.A = A + p * a, g.B = B + p * b, g.C = C + p * c;
        run->table->gemm[NN_PRECISION_highest](&g);
    }
}

SPAN(dense_at_positions) {
    const nn_index x_row = op->positions * op->k, y_row = op->positions * op->n, i = first * op->rows;
    const nn_gemm g = {
        .M = count * op->rows, .N = op->n, .K = op->k, .A = at(run, op->X, i * x_row), .a_row = x_row, .a_col = 1,
        .B = at(run, op->W, 0), .b_row = op->n, .b_col = 1, .C = at(run, op->Y, i * y_row), .ldc = y_row,
        .activation = NN_ACTIVATION_linear, .scratch = scratch,
    };
    multiply_at_positions(run, op->positions, g, op->k, op->k * op->n, op->n);
}

SPAN(dense_at_positions_backward_input) {
    const nn_index x_row = op->positions * op->k, y_row = op->positions * op->n, i = first * op->rows;
    const nn_gemm g = {
        .M = count * op->rows, .N = op->k, .K = op->n, .A = at(run, op->dY, i * y_row), .a_row = y_row, .a_col = 1,
        .B = at(run, op->W, 0), .b_row = 1, .b_col = op->n, .C = at(run, op->dX, i * x_row), .ldc = x_row,
        .activation = NN_ACTIVATION_linear, .scratch = scratch,
    };
    multiply_at_positions(run, op->positions, g, op->n, op->k * op->n, op->k);
}

SPAN(dense_at_positions_backward_weights) {
    const nn_index x_row = op->positions * op->k, y_row = op->positions * op->n;
    const nn_gemm g = {
        .M = op->k, .N = op->n, .K = run->samples * op->rows,
        .A = at(run, op->X, first * op->k), .a_row = 1, .a_col = x_row,
        .B = at(run, op->dY, first * op->n), .b_row = y_row, .b_col = 1,
        .C = at(run, op->dW, first * op->k * op->n), .ldc = op->n,
        .activation = NN_ACTIVATION_linear, .nonfinite = &run->nonfinite, .scratch = scratch,
    };
    multiply_at_positions(run, count, g, op->k, op->n, op->k * op->n);
}

SPAN(pack) {
    if (!run->table->pack) return; /* products read W itself */
    run->table->pack((int)op->precision, 0, op->k, op->n, first, count, at(run, op->W, 0), at(run, op->packed, 0));
}

SPAN(column_sums) {
    column_sums(run->samples * op->rows, count, at(run, op->dY, first), op->n, at(run, op->db, first), &run->nonfinite);
}

#endif
