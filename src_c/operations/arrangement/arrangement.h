/* arrangement.h: elements in another order, some of them, or several times; and sums of what was repeated. */
#ifndef NNCORE_ARRANGEMENT_H
#define NNCORE_ARRANGEMENT_H

#include "vectors/lanes.h"

/* y ← xᵀ, x (n3,n2) and y (n2,n3), rows x3 and y2 apart (transpose_rows: pack.h) */
INLINE void copy_transposed(nn_index n2, nn_index n3, const real *x, nn_index x3, real *y, nn_index y2) {
    nn_index k = 0;
    for (; k + LANES <= n3; k += LANES) transpose_rows(n2, x + k * x3, x3, y + k, y2);
    for (nn_index j = 0; j < n2; j++)
        for (nn_index rest = k; rest < n3; rest++) y[j * y2 + rest] = x[rest * x3 + j];
}

SPAN(copy_strided) {
    const nn_index n2 = op->n2, n3 = op->n3, n1 = op->n / (n2 * n3);
    for (nn_index row = first; row < first + count; row++) {
        const nn_index sample = row / op->rows, r = row % op->rows;
        const real *x = at(run, op->X, sample * op->x_sample + r * op->x_row);
        real *y = at(run, op->Y, sample * op->y_sample + r * op->y_row);
        for (nn_index i = 0; i < n1; i++) {
            if (op->x2 == 1 && op->y3 == 1 && op->x3 != 1) {
                copy_transposed(n2, n3, x + i * op->x1, op->x3, y + i * op->y1, op->y2);
                continue;
            }
            for (nn_index j = 0; j < n2; j++) {
                const real *from = x + i * op->x1 + j * op->x2;
                real *to = y + i * op->y1 + j * op->y2;
                if (op->x3 == 1 && op->y3 == 1)
                    memcpy(to, from, (size_t)n3 * sizeof(real));
                else if (op->x3 == 0 && op->y3 == 1)
                    for (nn_index k = 0; k < n3; k += LANES) store_some(to + k, n3 - k, vset(*from));
                else
                    for (nn_index k = 0; k < n3; k++) to[k * op->y3] = from[k * op->x3];
            }
        }
    }
}

SPAN(pad) {
    const nn_index n = op->n, width = op->width;
    real *y = at(run, op->Y, first * n);
    for (nn_index row = first; row < first + count; row++, y += n) {
        const nn_index r = row % op->out_height - op->top;
        const int inside = 0 <= r && r < op->height;
        const nn_index kept = inside ? width : 0, behind = op->left + kept;
        memset(y, 0, (size_t)op->left * sizeof(real));
        if (inside) {
            const real *x = at(run, op->X, (row / op->out_height * op->height + r) * width);
            memcpy(y + op->left, x, (size_t)width * sizeof(real));
        }
        memset(y + behind, 0, (size_t)(n - behind) * sizeof(real));
    }
}

SPAN(sum_axis) {
    const nn_index n = op->n, m = op->m;
    const real *x = at(run, op->X, first * n);
    real *y = at(run, op->Y, first * m);
    for (; count > 0; count--, x += n, y += m) {
        for (nn_index j = 0; j < m; j += LANES) {
            const nn_index left = m == 1 ? n : m - j, step = m == 1 ? LANES : m; /* one column: lanes are terms of it */
            vf sum = {0};
            for (nn_index i = 0; i < n; i += step) sum += load_some(x + i + j, m == 1 ? left - i : left);
            store_some(y + j, m - j, m == 1 ? across_sum(sum) : sum);
        }
    }
}

#endif
