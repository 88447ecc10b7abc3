/* interpolation.h: images made larger, linear between the middles of their places.
 *
 *     Y[o] = (1 − t) X[i] + t X[i + 1],  i + t = (o + ½) / factor − ½, not below 0 nor beyond the last place
 *
 * along each axis. Numbers of 2 factor (i + t) are whole: m = 2 o + 1 − factor.
 */
#ifndef NNCORE_INTERPOLATION_H
#define NNCORE_INTERPOLATION_H

#include "operations/span.h"
#include "vectors/lanes.h"

typedef struct longer_axis { nn_index length, factor; } longer_axis;

/* What place o of the longer axis is made of; `of_high` is t. */
typedef struct neighbours { nn_index low, high; real of_low, of_high; } neighbours;

INLINE nn_index twofold(longer_axis a, nn_index o) { /* m */
    const nn_index m = 2 * o + 1 - a.factor, most = 2 * a.factor * (a.length - 1);
    return m < 0 ? 0 : m < most ? m : most;
}

INLINE neighbours neighbours_of(longer_axis a, nn_index o) {
    const nn_index m = twofold(a, o), low = m / (2 * a.factor), rest = m - 2 * a.factor * low;
    const real part = (real)rest / (real)(2 * a.factor);
    return (neighbours){low, rest ? low + 1 : low, 1 - part, part};
}

/* Rows of Y. */
SPAN(interpolate) {
    const nn_index n = op->n, out = op->width * op->x_factor;
    const longer_axis y_axis = {op->height, op->y_factor}, x_axis = {op->width, op->x_factor};
    real *y = at(run, op->Y, first * out * n);
    for (nn_index row = first; row < first + count; row++) {
        const nn_index rows = op->height * op->y_factor, sample = row / rows;
        const neighbours i = neighbours_of(y_axis, row % rows);
        const real *upper = at(run, op->X, (sample * op->height + i.low) * op->width * n);
        const real *lower = at(run, op->X, (sample * op->height + i.high) * op->width * n);
        for (nn_index p = 0; p < out; p++, y += n) {
            const neighbours k = neighbours_of(x_axis, p);
            VECTORS(j, left, n, {
                const vf a = load_some(upper + k.low * n + j, left), b = load_some(upper + k.high * n + j, left);
                const vf c = load_some(lower + k.low * n + j, left), d = load_some(lower + k.high * n + j, left);
                const vf above = k.of_low * a + k.of_high * b, below = k.of_low * c + k.of_high * d;
                store_some(y + j, left, i.of_low * above + i.of_high * below);
            });
        }
    }
}

/* The places of the longer axis that place i is a neighbour of, and how much of it the place o has. */
INLINE nn_index first_beside(longer_axis a, nn_index i) { return i > 0 ? (i - 1) * a.factor + a.factor / 2 : 0; }
INLINE nn_index end_beside(longer_axis a, nn_index i) {
    return i < a.length - 1 ? (i + 1) * a.factor + (a.factor + 1) / 2 : a.length * a.factor;
}
INLINE real part_of(longer_axis a, nn_index o, nn_index i) {
    const nn_index away = twofold(a, o) - 2 * a.factor * i;
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
