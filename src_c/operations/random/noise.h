/* noise.h: noise on activations.
 *
 * A normal number is Φ⁻¹(u) = √2 erf⁻¹(2 u − 1) of a uniform one, u = (k + ½) 2⁻²⁴, by the
 * polynomials of M. Giles, "Approximating the erfinv function", GPU Computing Gems 2 (2011), table 5: to 1e-6 of its
 * size, |N| ≤ 5.5. Srivastava et al. 2014, section 10 (multiplicative normal noise); Klambauer et al. 2017, section 3
 * (alpha dropout).
 */
#ifndef NNCORE_NOISE_H
#define NNCORE_NOISE_H

#include "operations/elementwise/elementwise.h"
#include "operations/span.h"
#include "vectors/random.h"

INLINE vf polynomial(vf w, const double c[9]) {
    vf p = vset((real)c[0]);
#pragma GCC unroll 8
    for (int i = 1; i < 9; i++) p = p * w + vset((real)c[i]);
    return p;
}

/* A standard normal number of 24 random bits */
INLINE vf normal_of(vi bits) {
    static const double inner[9] = {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
                                    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941};
    static const double outer[9] = {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
                                    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682};
    const vf x = (__builtin_convertvector(bits, vf) + (real)0.5) * (real)0x1p-23 - 1;
    const vf w = -vlog((1 - x) * (1 + x));
    const vf near = polynomial(w - (real)2.5, inner), far = polynomial(vsqrt(w) - 3, outer);
    return (real)1.4142135623730951 * x * vselect(w < 5, near, far);
}

/* y = f(x, random bits, c) for elements first … first + n − 1 of a stream */
typedef vf random_map(vf x, vi bits, const vf *c);

INLINE void map_random(nn_index n, nn_index first, const uint64_t key[2], random_map *f, const vf *c, const real *x,
                       real *y) {
    random_block random;
    nn_index offset = first % RANDOM_BLOCK, i = 0; /* element i has position offset + i in its block */
    for (uint64_t block = (uint64_t)first / RANDOM_BLOCK; i < n; block++, offset -= RANDOM_BLOCK) {
        random_fill(&random, key, block);
        const nn_index end = n < RANDOM_BLOCK - offset ? n : RANDOM_BLOCK - offset;
        for (; i < end; i += LANES)
            store_some(y + i, end - i, f(load_some(x + i, end - i), random_24bits(&random, offset + i), c));
        i = end;
    }
}

#define RATE (op->scheduled ? nn_now(run, op->scheduled) : op->rate)

INLINE vf plus_noise(vf x, vi bits, const vf *c) { return x + c[0] * normal_of(bits); }
INLINE vf times_noise(vf x, vi bits, const vf *c) { return x * (1 + c[0] * normal_of(bits)); }

/* The number of random bits below which an element is dropped */
INLINE vf threshold_of(double rate) { return vset((real)ceil(rate * 0x1p24)); }
INLINE vi kept(vi bits, vf threshold) { return __builtin_convertvector(bits, vf) >= threshold; }
INLINE vf scaled_or(vf x, vi bits, const vf *c) { return vselect(kept(bits, c[0]), c[1] * x + c[2], c[3]); }

SPAN(gaussian_noise) {
    const uint64_t key[2] = RANDOM_KEY(0);
    const vf stddev = vset((real)op->stddev);
    map_random(count, first, key, plus_noise, &stddev, at(run, op->X, first), at(run, op->Y, first));
}

SPAN(gaussian_dropout) {
    const uint64_t key[2] = RANDOM_KEY(0);
    const double rate = RATE;
    const vf stddev = vset((real)sqrt(rate / (1 - rate)));
    map_random(count, first, key, times_noise, &stddev, at(run, op->X, first), at(run, op->Y, first));
}

SPAN(alpha_dropout) {
    const uint64_t key[2] = RANDOM_KEY(0);
    const double rate = RATE, dropped = -(double)SELU_SCALE * (double)SELU_ALPHA;
    const double scale = 1 / sqrt((1 - rate) * (1 + rate * dropped * dropped)), offset = -scale * dropped * rate;
    const int forward = !op->backward;
    const vf c[4] = {threshold_of(rate), vset((real)scale), vset((real)(forward * offset)),
                     vset((real)(forward * (scale * dropped + offset)))};
    map_random(count, first, key, scaled_or, c, at(run, op->X, first), at(run, op->Y, first));
}

SPAN(column_dropout) {
    const uint64_t key[2] = RANDOM_KEY(0);
    const double rate = RATE;
    const nn_index n = op->n, rows = op->rows;
    const vf c[4] = {threshold_of(rate), {0}, vset((real)(1 / (1 - rate))), {0}};
    real factor[RANDOM_BLOCK] = {0};
    for (nn_index s = first; s < first + count; s++)
        for (nn_index j = 0; j < n; j += RANDOM_BLOCK) {
            const nn_index cols = n - j < RANDOM_BLOCK ? n - j : RANDOM_BLOCK;
            const real *x = at(run, op->X, s * rows * n + j);
            real *y = at(run, op->Y, s * rows * n + j);
            map_random(cols, s * n + j, key, scaled_or, c, factor, factor);
            for (nn_index r = 0; r < rows; r++)
                for (nn_index i = 0; i < cols; i += LANES) {
                    const vf f = load_some(factor + i, cols - i);
                    store_some(y + r * n + i, cols - i, f * load_some(x + r * n + i, cols - i));
                }
        }
}

#endif
