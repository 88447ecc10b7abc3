/* lanes.h: what the row kernels need beside plain vector arithmetic: ragged ends of rows, sums and maxima
 * across the lanes of a vector, and sums in float64.
 *
 * `left` is the number of elements from here to the end of a row: where it is a constant ≥ LANES, a ragged
 * access costs nothing. The tree of `across_sum` and the folds below depend on LANES alone.
 */
#ifndef NNCORE_LANES_H
#define NNCORE_LANES_H

typedef double vd __attribute__((vector_size(VECTOR_BYTES)));

INLINE vi lane_numbers(void) { /* 0, 1, 2, … : folds to a constant */
    vi v = {0};
    for (nn_index i = 0; i < LANES; i++) v[i] = (integer)i;
    return v;
}

/* The parameters of an activation or a loss, each in all lanes; those that nobody reads cost nothing. */
typedef struct spread { vf p[NN_PARAMETERS]; } spread;
INLINE spread in_all_lanes(const double *parameters) {
    spread s;
    for (int k = 0; k < NN_PARAMETERS; k++) s.p[k] = vset((real)parameters[k]);
    return s;
}

INLINE vf load_some(const real *p, nn_index left) { /* 0 beyond the end */
    return left >= LANES ? vload(p) : load_mask(p, mask_first(left));
}

INLINE vf keep_some(vf v, nn_index left, vf beyond) {
    return left >= LANES ? v : vselect((integer)left > lane_numbers(), v, beyond);
}

INLINE void store_some(real *p, nn_index left, vf v) {
    if (left >= LANES)
        vstore(p, v);
    else
        store_mask(p, mask_first(left), v);
}

enum { LINE_BYTES = 64, ROWS_AHEAD = 8 };

/* For a row that is to be read soon, and lies where the CPU does not expect it: its lines. */
INLINE void fetch_row(const void *row, nn_index bytes) {
    for (nn_index b = 0; b < bytes; b += LINE_BYTES) __builtin_prefetch((const char *)row + b);
    __builtin_prefetch((const char *)row + bytes - 1);
}

/* The larger one, lane by lane; nan where either is. */
INLINE vf vlarger(vf a, vf b) { return vselect((b > a) | (b != b), b, a); }

/* Sums that are computed side by side, so that their chains wait for themselves and not for one another. */
enum { SIDE = 4 };

/* for (each of up to SIDE) */
#define EACH(i, count) _Pragma("GCC unroll 4") for (int i = 0; i < (count); i++)

/* For each vector of a row of n elements: those from j on, of which `left` are there; whole ones without a mask. */
#define VECTORS(j, left, n, ...)                                                                                     \
    do {                                                                                                             \
        nn_index j = 0;                                                                                              \
        for (; j + LANES <= (n); j += LANES) {                                                                       \
            enum { left = LANES };                                                                                   \
            __VA_ARGS__                                                                                              \
        }                                                                                                            \
        if (j < (n)) {                                                                                               \
            const nn_index left = (n) - j;                                                                           \
            __VA_ARGS__                                                                                              \
        }                                                                                                            \
    } while (0)

INLINE vf rotate(vf v, nn_index by) {
#if defined(__clang__)
    vf r;
    for (nn_index i = 0; i < LANES; i++) r[i] = v[(i + by) % LANES];
    return r;
#else
    return __builtin_shuffle(v, (lane_numbers() + (integer)by) & (integer)(LANES - 1));
#endif
}

/* Lane i: number from[i] of the lanes of a, then b. */
INLINE vf pick(vf a, vf b, vi from) {
#if defined(__clang__)
    vf r;
    for (nn_index i = 0; i < LANES; i++) r[i] = from[i] < LANES ? a[from[i]] : b[from[i] - LANES];
    return r;
#else
    return __builtin_shuffle(a, b, from);
#endif
}

/* LANES pairs ↔ their first and their second elements, without stores by elements, for which a load of a vector would
 * wait. */
INLINE void split_pairs(const real *x, vf *first, vf *second) {
    const vf a = vload(x), b = vload(x + LANES);
    *first = pick(a, b, 2 * lane_numbers());
    *second = pick(a, b, 2 * lane_numbers() + 1);
}

/* The lanes of both in turns: the first half of them, the second. */
INLINE void interleave(vf a, vf b, vf *first, vf *second) {
    const vi turns = lane_numbers() / 2 + (lane_numbers() & 1) * (integer)LANES;
    *first = pick(a, b, turns);
    *second = pick(a, b, turns + (integer)LANES / 2);
}

INLINE void join_pairs(vf first, vf second, real *x) {
    vf a, b;
    interleave(first, second, &a, &b);
    vstore(x, a);
    vstore(x + LANES, b);
}

/* In every lane the sum, resp. the maximum of all. */
INLINE vf across_sum(vf v) {
#pragma GCC unroll 4
    for (nn_index half = LANES / 2; half; half /= 2) v += rotate(v, half);
    return v;
}

INLINE vf across_max(vf v) {
#pragma GCC unroll 4
    for (nn_index half = LANES / 2; half; half /= 2) v = vmax(v, rotate(v, half));
    return v;
}

/* Sums in float64: each lane of v, resp. its square, is widened and added to one lane of the result. */
#if NN_REAL_BITS == 32
typedef real vf_half __attribute__((vector_size(VECTOR_BYTES / 2)));
INLINE vd widen(vf v, int upper) {
    const union { vf all; vf_half half[2]; } u = {v};
    return __builtin_convertvector(u.half[upper], vd);
}
INLINE vd fold(vf v) { return widen(v, 0) + widen(v, 1); }
INLINE vd fold_squares(vf v) {
    const vd a = widen(v, 0), b = widen(v, 1);
    return a * a + b * b;
}
INLINE vd fold_products(vf v, vf w) { return widen(v, 0) * widen(w, 0) + widen(v, 1) * widen(w, 1); }
#else
INLINE vd fold(vf v) { return v; }
INLINE vd fold_squares(vf v) { return v * v; }
INLINE vd fold_products(vf v, vf w) { return v * w; }
#endif

INLINE double across_total(vd v) {
    double s = v[0];
    for (size_t i = 1; i < VECTOR_BYTES / sizeof(double); i++) s += v[i];
    return s;
}

/* Whether one of rows × cols elements is not finite: inf and nan times 0 are nan, and no later term hides a nan. */
static int any_nonfinite(nn_index rows, nn_index cols, const real *x, nn_index ldx) {
    const vmask tail = mask_first(cols % LANES);
    vf sum = {0}, sums[4] = {{0}}; /* four, as one waits for the last: 11 → 6 % of dW (784,32,128) */
    for (nn_index i = 0; i < rows; i++, x += ldx) {
        nn_index j = 0;
        for (; j + 4 * LANES <= cols; j += 4 * LANES)
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++) sums[v] += vload(x + j + v * LANES) * (real)0;
        for (; j + LANES <= cols; j += LANES) sum += vload(x + j) * (real)0;
        if (j < cols) sum += load_mask(x + j, tail) * (real)0;
    }
    sum += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    return any_lane(sum != 0);
}

#endif
