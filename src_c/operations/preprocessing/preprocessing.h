/* preprocessing.h: reals to the numbers of intervals, and whole numbers to columns that count them. */
#ifndef NNCORE_PREPROCESSING_H
#define NNCORE_PREPROCESSING_H

#include "operations/embedding/embedding.h"
#include "operations/span.h"

SPAN(digitize) {
    const real *x = at(run, op->X, 0), *boundaries = at(run, op->boundaries, 0);
    int32_t *y = nn_at(run, op->Y);
    for (nn_index i = first; i < first + count; i++) {
        nn_index low = 0, high = op->n; /* the answer is in [low, high] */
        while (low < high) {
            const nn_index middle = (low + high) / 2;
            if (x[i] < boundaries[middle])
                high = middle;
            else
                low = middle + 1;
        }
        y[i] = (int32_t)low;
    }
}

SPAN(count_numbers) {
    const nn_index k = op->k, n = op->n;
    const int32_t *x = integers_at(run, op->X) + first * k;
    const real *each = at(run, op->each, first * k), *scale = at(run, op->scale, 0);
    real *y = at(run, op->Y, first * n);
    memset(y, 0, (size_t)(count * n) * sizeof(real));
    for (nn_index i = 0; i < count * k; i++) {
        if (x[i] < 0 || x[i] >= n) continue;
        real *place = y + i / k * n + x[i];
        *place = op->once ? 1 : *place + (each ? each[i] : 1);
    }
    if (scale)
        for (nn_index r = 0; r < count; r++) multiply_elements(n, y + r * n, scale, y + r * n);
}

SPAN(count_numbers_backward) {
    const nn_index k = op->k, n = op->n;
    const int32_t *x = integers_at(run, op->X) + first * k;
    const real *dy = at(run, op->dY, first * n), *scale = at(run, op->scale, 0);
    real *deach = at(run, op->deach, first * k);
    for (nn_index i = 0; i < count * k; i++) {
        const int inside = x[i] >= 0 && x[i] < n;
        deach[i] = inside ? dy[i / k * n + x[i]] * (scale ? scale[x[i]] : 1) : 0;
    }
}

#endif
