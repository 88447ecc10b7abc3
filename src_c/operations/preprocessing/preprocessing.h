/* preprocessing.h: reals to the numbers of intervals, and whole numbers to columns that count them; rows that
 * are not all one number. */
#ifndef NNCORE_PREPROCESSING_H
#define NNCORE_PREPROCESSING_H

#include "operations/embedding/embedding.h"
#include "operations/span.h"

enum { COUNTED_BOUNDARIES = 64, DIGITIZED_AT_ONCE = 256 }; /* so few are compared with all, without a branch */

SPAN(digitize) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first), *boundaries = at(run, op->boundaries, 0);
    int32_t *y = (int32_t *)nn_at(run, op->Y) + first;
    for (nn_index i = 0; n <= COUNTED_BOUNDARIES && i < count; i += DIGITIZED_AT_ONCE) {
        const nn_index some = count - i < DIGITIZED_AT_ONCE ? count - i : DIGITIZED_AT_ONCE;
        memset(y + i, 0, (size_t)some * sizeof(int32_t));
        for (nn_index j = 0; j < n; j++)
            for (nn_index e = i; e < i + some; e++) y[e] += !(x[e] < boundaries[j]);
    }
    for (nn_index i = 0; n > COUNTED_BOUNDARIES && i < count; i++) {
        nn_index low = 0, high = n; /* the answer is in [low, high] */
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
    const real *scale = at(run, op->scale, 0);
    real *y = at(run, op->Y, first * n);
    memset(y, 0, (size_t)(count * n) * sizeof(real));
    for (nn_index r = 0; r < count; r++, x += k, y += n) {
        for (nn_index j = 0; j < k; j++)
            if (x[j] >= 0 && x[j] < n) y[x[j]] = op->once ? 1 : y[x[j]] + 1;
        if (scale) multiply_elements(n, y, scale, y);
    }
}

SPAN(differs) {
    const nn_index n = op->n;
    const real *x = op->integers ? NULL : at(run, op->X, first * n), value = (real)op->value;
    const int32_t *whole = op->integers ? integers_at(run, op->X) + first * n : NULL;
    real *y = at(run, op->Y, first);
    for (nn_index r = 0; r < count; r++) {
        int found = 0;
        for (nn_index j = r * n; j < (r + 1) * n; j++) found |= x ? x[j] != value : whole[j] != (int32_t)op->value;
        y[r] = (real)found;
    }
}

#endif
