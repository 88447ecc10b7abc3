/* arithmetic.h: two arrays of one shape element by element, powers, and products of two matrices of each sample.
 *
 * Every load of a vector precedes its store, hence the aliasing that arithmetic.def allows.
 */
#ifndef NNCORE_ARITHMETIC_H
#define NNCORE_ARITHMETIC_H

#include "vectors/lanes.h"
#include "vectors/vecmath.h"

/* y = f(a, b) for `count` elements from `first` on: an expression of the vectors a and b */
#define EACH_PAIR(A, B, Y, expression)                                                                                \
    const real *from_a = at(run, op->A, first), *from_b = at(run, op->B, first);                                      \
    real *to = at(run, op->Y, first);                                                                                 \
    for (nn_index i = 0; i < count; i += LANES) {                                                                     \
        const vf a = load_some(from_a + i, count - i), b = load_some(from_b + i, count - i);                          \
        store_some(to + i, count - i, expression);                                                                    \
    }

SPAN(subtract) { EACH_PAIR(A, B, Y, a - b) }
SPAN(divide) { EACH_PAIR(A, B, Y, a / b) }
SPAN(maximum) { EACH_PAIR(A, B, Y, vlarger(a, b)) }
SPAN(minimum) { EACH_PAIR(A, B, Y, vselect((b < a) | (b != b), b, a)) }

SPAN(divide_backward) {
    const real *dy = at(run, op->dY, first);
    EACH_PAIR(Y, B, dB, -load_some(dy + i, count - i) * (a / b))
}

SPAN(larger_backward) {
    const real *dy = at(run, op->dY, first);
    const vf half = vset(REAL(0.5));
    EACH_PAIR(A, B, dA, vselect(b > a, (vf){0}, load_some(dy + i, count - i) * vselect(a == b, half, vset(1))))
}

/* x to a power: whole ones by squares, exact where these are; ±½ by the root; else e^(exponent log x), whose relative
 * error grows with |exponent log x|. nan for x < 0 and an exponent that is not whole. */
INLINE vf power_of(vf x, double exponent) {
    const double size = exponent < 0 ? -exponent : exponent;
    if (size == 0.5) return exponent < 0 ? 1 / vsqrt(x) : vsqrt(x);
    if (size > 64 || size != (double)(int)size) return vpower(x, vset((real)exponent));
    vf y = vset(1), square = x;
    for (int left = (int)size; left; left /= 2) {
        if (left % 2) y *= square;
        square *= square;
    }
    return exponent < 0 ? 1 / y : y;
}

SPAN(power) {
    const real *x = at(run, op->X, first);
    real *y = at(run, op->Y, first);
    for (nn_index i = 0; i < count; i += LANES)
        store_some(y + i, count - i, power_of(load_some(x + i, count - i), op->exponent));
}

SPAN(power_backward) {
    const real *x = at(run, op->X, first), *dy = at(run, op->dY, first);
    real *dx = at(run, op->dX, first);
    const vf factor = vset((real)op->exponent);
    for (nn_index i = 0; i < count; i += LANES) {
        const vf slope = op->exponent == 0 ? (vf){0} : factor * power_of(load_some(x + i, count - i), op->exponent - 1);
        store_some(dx + i, count - i, load_some(dy + i, count - i) * slope);
    }
}

INLINE void some_dots(int dots, nn_index n, const real *a, const real *c, real *y) {
    vf sum[SIDE] = {{0}};
    VECTORS(k, left, n, {
        const vf x = load_some(a + k, left);
        EACH(i, dots) sum[i] += x * load_some(c + i * n + k, left);
    });
    EACH(i, dots) y[i] = across_sum(sum[i])[0];
}

SPAN(pair_dots) {
    const nn_index n = op->n, m = op->m;
    for (nn_index row = first; row < first + count; row++) {
        const real *a = at(run, op->A, row * n), *c = at(run, op->C, row / op->rows * m * n);
        real *y = at(run, op->Y, row * m);
        nn_index j = 0;
        for (; j + SIDE <= m; j += SIDE) some_dots(SIDE, n, a, c + j * n, y + j);
        for (; j < m; j++) some_dots(1, n, a, c + j * n, y + j);
    }
}

/* So many vectors of a row of Y; of a single one its first `left` elements alone. */
INLINE void some_sums(int vectors, nn_index left, const nn_op_pair_sums *op, const real *s, const real *c, real *y) {
    vf sum[SIDE] = {{0}};
    for (nn_index j = 0; j < op->m; j++)
        EACH(i, vectors) sum[i] += s[j * op->s_column] * load_some(c + j * op->n + i * LANES, left);
    EACH(i, vectors) store_some(y + i * LANES, left, sum[i]);
}

SPAN(pair_sums) {
    const nn_index n = op->n, m = op->m;
    for (nn_index row = first; row < first + count; row++) {
        const nn_index sample = row / op->rows;
        const real *s = at(run, op->S, sample * op->rows * m + row % op->rows * op->s_row);
        const real *c = at(run, op->C, sample * m * n);
        real *y = at(run, op->Y, row * n);
        nn_index k = 0;
        for (; k + SIDE * LANES <= n; k += SIDE * LANES) some_sums(SIDE, LANES, op, s, c + k, y + k);
        for (; k < n; k += LANES) some_sums(1, n - k, op, s, c + k, y + k);
    }
}

#endif
