/* interpolation.h: images made larger, linear between the middles of their places.
 *
 *     Y[o] = (1 − t) X[i] + t X[i + 1],  i + t = (o + ½) / factor − ½, not below 0 nor beyond the last place
 *
 * along each axis. With o = k factor + r that is i + t = k + (2 r + 1 − factor) / (2 factor).
 */
#ifndef NNCORE_INTERPOLATION_H
#define NNCORE_INTERPOLATION_H

#include "operations/span.h"
#include "vectors/lanes.h"

typedef struct longer_axis { nn_index length, factor; } longer_axis;

/* What place k factor + r of the longer axis is made of; `of_high` is t. */
typedef struct neighbours { nn_index low, high; real of_low, of_high; } neighbours;

INLINE neighbours neighbours_of(longer_axis a, nn_index k, nn_index r) {
    const nn_index beyond = 2 * r + 1 - a.factor, low = beyond < 0 ? k - 1 : k, last = a.length - 1;
    if (low < 0 || low == last || beyond == 0) return (neighbours){k, k, 1, 0};
    const real t = (real)(beyond < 0 ? beyond + 2 * a.factor : beyond) / (real)(2 * a.factor);
    return (neighbours){low, low + 1, 1 - t, t};
}

/* Rows of Y. */
SPAN(interpolate) {
    const nn_index n = op->n, rows = op->height * op->y_factor;
    const longer_axis y_axis = {op->height, op->y_factor}, x_axis = {op->width, op->x_factor};
    real *y = at(run, op->Y, first * op->width * op->x_factor * n);
    for (nn_index row = first; row < first + count; row++) {
        const neighbours i = neighbours_of(y_axis, row % rows / op->y_factor, row % op->y_factor);
        const real *upper = at(run, op->X, (row / rows * op->height + i.low) * op->width * n);
        const real *lower = at(run, op->X, (row / rows * op->height + i.high) * op->width * n);
        for (nn_index k = 0; k < op->width; k++)
            for (nn_index r = 0; r < op->x_factor; r++, y += n) {
                const neighbours p = neighbours_of(x_axis, k, r);
                VECTORS(j, left, n, {
                    const vf a = load_some(upper + p.low * n + j, left), b = load_some(upper + p.high * n + j, left);
                    const vf c = load_some(lower + p.low * n + j, left), d = load_some(lower + p.high * n + j, left);
                    const vf above = p.of_low * a + p.of_high * b, below = p.of_low * c + p.of_high * d;
                    store_some(y + j, left, i.of_low * above + i.of_high * below);
                });
            }
    }
}

/* The places of the longer axis that place i is a neighbour of, and how much of it place o has. */
INLINE nn_index first_beside(longer_axis a, nn_index i) { return i > 0 ? (i - 1) * a.factor + a.factor / 2 : 0; }
INLINE nn_index end_beside(longer_axis a, nn_index i) {
    return i < a.length - 1 ? (i + 1) * a.factor + (a.factor + 1) / 2 : a.length * a.factor;
}
INLINE real part_of(longer_axis a, nn_index o, nn_index i) {
    const nn_index middle = 2 * o + 1 - a.factor, last = 2 * a.factor * (a.length - 1); /* times 2 factor */
    const nn_index away = (middle < 0 ? 0 : middle < last ? middle : last) - 2 * a.factor * i;
    return 1 - (real)(away < 0 ? -away : away) / (real)(2 * a.factor);
}

/* Rows of dX. */
SPAN(interpolate_backward) {
    const nn_index n = op->n, out = op->width * op->x_factor;
    const longer_axis y_axis = {op->height, op->y_factor}, x_axis = {op->width, op->x_factor};
    real *dx = at(run, op->dX, first * op->width * n);
    for (nn_index row = first; row < first + count; row++) {
        const nn_index i = row % op->height, o_end = end_beside(y_axis, i);
        const real *dy = at(run, op->dY, row / op->height * op->height * op->y_factor * out * n);
        for (nn_index k = 0; k < op->width; k++, dx += n) {
            const nn_index p_end = end_beside(x_axis, k);
            VECTORS(j, left, n, {
                vf sum = {0};
                for (nn_index o = first_beside(y_axis, i); o < o_end; o++) {
                    const real of_row = part_of(y_axis, o, i);
                    for (nn_index p = first_beside(x_axis, k); p < p_end; p++)
                        sum += of_row * part_of(x_axis, p, k) * load_some(dy + (o * out + p) * n + j, left);
                }
                store_some(dx + j, left, sum);
            });
        }
    }
}

#endif
