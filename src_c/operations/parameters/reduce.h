/* reduce.h: sums over rows and over runs of parameters.
 *
 * column_sums  y_j = Σ_i x_ij: chunks of 64 rows, added in order; within a chunk row i belongs to chain i mod 4,
 *              and the chains are added as (0+1)+(2+3). A column is never told which others stand beside it,
 *              so its bits depend on `rows` alone; the error grows like 16 + rows/64, not like rows. parts.h has
 *              the same sums where an operation brings them along.
 * sum_squares, regularize: in float64; vector i of x belongs to accumulator i mod 4, summed likewise, then across
 * lanes.
 *
 * sum_squares gives Σ (x / unit)², where unit is 1 unless squares overflow, or underflow so far that it shows, or a
 * real would hardly hold the inverse of the norm: then it is a power of two that brings the sum back (Blue 1978).
 */
#ifndef NNCORE_REDUCE_H
#define NNCORE_REDUCE_H

#include "operations/elementwise/elementwise.h"
#include "operations/parameters/parts.h"
#include "vectors/lanes.h"
#include "vectors/vecmath.h"

/* y += (or =, at the first chunk) the sums of one chunk over `vectors` vectors of columns, the last one ragged. */
INLINE void sum_chunk(nn_index rows, nn_index cols, const real *x, nn_index ldx, real *y, int first, nn_index vectors) {
    vf c[CHAINS][2] = {{{0}}};
    nn_index i = 0;
    for (; i + CHAINS <= rows; i += CHAINS)
#pragma GCC unroll 4
        for (nn_index k = 0; k < CHAINS; k++)
#pragma GCC unroll 2
            for (nn_index j = 0; j < vectors; j++)
                c[k][j] += load_some(x + (i + k) * ldx + j * LANES, cols - j * LANES);
#pragma GCC unroll 4
    for (nn_index k = 0; k < CHAINS; k++)
        if (i + k < rows)
#pragma GCC unroll 2
            for (nn_index j = 0; j < vectors; j++)
                c[k][j] += load_some(x + (i + k) * ldx + j * LANES, cols - j * LANES);
#pragma GCC unroll 2
    for (nn_index j = 0; j < vectors; j++) {
        const vf sum = (c[0][j] + c[1][j]) + (c[2][j] + c[3][j]);
        const nn_index left = cols - j * LANES;
        store_some(y + j * LANES, left, first ? sum : load_some(y + j * LANES, left) + sum);
    }
}

static void column_sums(nn_index rows, nn_index cols, const void *x, nn_index ldx, void *y, int *nonfinite) {
    nn_index i = 0;
    do {
        const nn_index chunk = rows - i < CHUNK_ROWS ? rows - i : CHUNK_ROWS;
        const real *xi = (const real *)x + i * ldx;
        nn_index j = 0;
        for (; j + 2 * LANES <= cols; j += 2 * LANES)
            sum_chunk(chunk, 2 * LANES, xi + j, ldx, (real *)y + j, i == 0, 2);
        for (; j + LANES <= cols; j += LANES) sum_chunk(chunk, LANES, xi + j, ldx, (real *)y + j, i == 0, 1);
        if (j < cols) sum_chunk(chunk, cols - j, xi + j, ldx, (real *)y + j, i == 0, 1);
        i += chunk;
    } while (i < rows);
    if (nonfinite && any_nonfinite(1, cols, y, cols)) nn_set_flag(nonfinite);
}

/* The sums between LEAST and MOST have the unit 1; UNIT and 1 / UNIT bring those of any finite x there, or near. */
#if NN_REAL_BITS == 64
#define LEAST_SQUARES 0x1p-900
#define MOST_SQUARES 0x1p1000
#define UNIT 0x1p600
#else /* no float's square is out of a double's range */
#define LEAST_SQUARES 0
#define MOST_SQUARES 0x1p160
#define UNIT 0x1p64
#endif

INLINE double sum_scaled_squares(nn_index n, const real *x, double scale) {
    vd c[CHAINS] = {{0}};
    for (nn_index i = 0; i < n; i += CHAINS * LANES)
#pragma GCC unroll 4
        for (nn_index k = 0; k < CHAINS; k++) {
            const nn_index at = i + k * LANES;
            if (at < n) c[k] += fold_squares((real)scale * load_some(x + at, n - at));
        }
    return across_total((c[0] + c[1]) + (c[2] + c[3]));
}

static double sum_squares(nn_index n, const void *x, double *unit) {
    const double sum = sum_scaled_squares(n, x, 1);
    *unit = sum > MOST_SQUARES ? UNIT : sum < LEAST_SQUARES ? 1 / UNIT : 1;
    return *unit > 1 ? sum_scaled_squares(n, x, 1 / UNIT) : *unit < 1 ? sum_scaled_squares(n, x, UNIT) : sum;
}

/* x ← x / (‖x‖ + epsilon), where that is not 0; returns ‖x‖. */
static double divide_by_norm(nn_index n, real *x, double epsilon) {
    double unit;
    const double norm = sqrt(sum_squares(n, x, &unit)), divisor = norm + epsilon / unit;
    if (unit != 1) rescale(n, 1 / unit, 0, x, x);
    if (divisor != 0) rescale(n, 1 / divisor, 0, x, x);
    return norm * unit;
}

/* One vector of the penalty: its terms to *c and its gradient to g, if any. */
INLINE void regularize_some(nn_index left, const real *w, real *g, real l1, real twice_l2, vd *absolutes, vd *squares) {
    const vf x = load_some(w, left), zero = {0};
    *absolutes += fold(vabs(x));
    *squares += fold_squares(x);
    if (g) {
        const vf sign = vselect(x > 0, vset(l1), vselect(x < 0, vset(-l1), zero));
        store_some(g, left, load_some(g, left) + (sign + twice_l2 * x));
    }
}

static double regularize(nn_index n, double l1, double l2, const void *w_, void *g_) {
    const real *w = w_;
    real *g = g_;
    vd a[CHAINS] = {{0}}, s[CHAINS] = {{0}};
    for (nn_index i = 0; i < n; i += CHAINS * LANES)
#pragma GCC unroll 4
        for (nn_index k = 0; k < CHAINS; k++) {
            const nn_index at = i + k * LANES;
            if (at < n) regularize_some(n - at, w + at, g ? g + at : NULL, (real)l1, (real)(2 * l2), &a[k], &s[k]);
        }
    return l1 * across_total((a[0] + a[1]) + (a[2] + a[3])) + l2 * across_total((s[0] + s[1]) + (s[2] + s[3]));
}

#endif
