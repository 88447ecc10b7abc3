/* numbers.h: features of numbers: cosines of learned frequencies, and pieces of lines between knots.
 *
 * Gorishniy, Rubachev, Babenko 2022, "On embeddings for numerical features in tabular deep learning", arXiv:2203.05556,
 * sections 3.2 and 3.3. Backward, the angles are computed once more: that is less work than to read them.
 */
#ifndef NNCORE_NUMBERS_H
#define NNCORE_NUMBERS_H

#include "operations/parameters/parts.h"
#include "operations/span.h"
#include "vectors/lanes.h"
#include "vectors/vecmath.h"

/* a x + c of LANES of a number's a and c, 0 beyond the last */
INLINE vf line_of(real x, const real *a, const real *c, nn_index left) {
    return load_some(a, left) * x + load_some(c, left);
}

SPAN(number_features) {
    const nn_index n = op->n, k = op->k, p = op->p;
    const real *frequency = at(run, op->frequency, 0), *phase = at(run, op->phase, 0);
    const real *factors = at(run, op->factors, 0), *offsets = at(run, op->offsets, 0);
    const real *x = at(run, op->X, first * n);
    real *y = at(run, op->Y, first * n * (k + p));
    for (; count > 0; count--, x += n)
        for (nn_index i = 0; i < n; i++, y += k + p) {
            VECTORS(j, left, k, {
                vf sine;
                const vf angle = line_of(x[i], frequency + i * k + j, phase + i * k + j, left);
                store_some(y + j, left, vcospi_sinpi(angle, &sine));
            });
            VECTORS(j, left, p, {
                const vf line = line_of(x[i], factors + i * p + j, offsets + i * p + j, left);
                store_some(y + k + j, left, vclamp(line, 0, 1));
            });
        }
}

SPAN(number_features_backward) {
    const nn_index n = op->n, k = op->k, p = op->p;
    const real *frequency = at(run, op->frequency, 0), *phase = at(run, op->phase, 0);
    const real *factors = at(run, op->factors, 0), *offsets = at(run, op->offsets, 0);
    for (const nn_index end = first + count; first < end; first += CHUNK_ROWS) {
        const nn_index rows = end - first < CHUNK_ROWS ? end - first : CHUNK_ROWS;
        const real *x = at(run, op->X, first * n), *dy = at(run, op->dY, first * n * (k + p));
        real *dx = at(run, op->dX, first * n);
        real *dfrequency = open_part(at(run, op->dfrequency, 0), first, n * k);
        real *dphase = open_part(at(run, op->dphase, 0), first, n * k);
        for (nn_index row = 0; row < rows; row++, x += n) {
            const nn_index chain = row % CHAINS * n * k;
            for (nn_index i = 0; i < n; i++, dy += k + p) {
                vf sum = {0};
                VECTORS(j, left, k, {
                    vf sine;
                    const nn_index at_k = i * k + j;
                    vcospi_sinpi(line_of(x[i], frequency + at_k, phase + at_k, left), &sine);
                    const vf d = unfused(REAL(-3.1415926535897932) * sine * load_some(dy + j, left));
                    if (dphase) add_to_chain(dphase + chain, at_k, left, d);
                    if (dfrequency) add_to_chain(dfrequency + chain, at_k, left, unfused(d * x[i]));
                    if (dx) sum += d * load_some(frequency + at_k, left);
                });
                if (!dx) continue;
                VECTORS(j, left, p, {
                    const vf a = load_some(factors + i * p + j, left);
                    const vf line = line_of(x[i], factors + i * p + j, offsets + i * p + j, left);
                    const vf d = load_some(dy + k + j, left) * a;
                    sum += vselect(line > 0, vselect(line < 1, d, (vf){0}), (vf){0});
                });
                *dx++ = across_sum(sum)[0];
            }
        }
        close_part(dfrequency, n * k);
        close_part(dphase, n * k);
    }
}

#endif
