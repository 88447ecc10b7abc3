/* pairs.h: dW of few filters over images of one channel: two neighbouring windows share a vector.
 *
 *     dW[i,j,c] = Σ over windows (h,w) of x[h + i, w + j] dY[h,w,c]
 *
 * Lanes 2c and 2c + 1 hold what windows w and w + 1 add to filter c. What they multiply, x[.., w + j] and its
 * neighbour, is one load of both to all lanes.
 *
 * Order: windows of a line by twos, in two chains, which go on from line to line: each four windows give two to both,
 * what is left of a line goes to the first. Then both chains, and the two lanes, are added. Lines are cut by their
 * length alone, into as many as there is room for.
 */
#ifndef NNCORE_PAIRS_H
#define NNCORE_PAIRS_H

#include "core/contract.h"
#include "vectors/lanes.h"

enum {
    PAIR_FILTERS = LANES / 2, /* at most */
    PAIR_PLACES = 7           /* of a window, side by side: two sums for each fit the registers */
};

/* x[0] in even lanes, x[1] in odd ones */
INLINE vf vset_pair(const real *x) {
#if NN_REAL_BITS == 32
    typedef uint64_t both __attribute__((aligned(4), may_alias));
    return (vf)(*(const both *)x - (v64){0}); /* see vset */
#else
    return load_blocks(x, 0);
#endif
}

/* Vectors at y, of two rows of x (count,n) each, their elements in turns; a last odd row with 0. Returns their end. */
INLINE real *pair_rows(nn_index count, nn_index n, const real *x, real *y) {
    const vmask mask = mask_first(n);
    for (nn_index i = 0; i < count; i += 2, x += 2 * n, y += LANES) {
        vf both, none;
        interleave(load_mask(x, mask), i + 1 < count ? load_mask(x + n, mask) : (vf){0}, &both, &none);
        vstore(y, both);
    }
    return y;
}

/* Row r of dW (m,n) = Σ, or += Σ, of x[l row + w + r] times row w of line l of dY, whose pairs of rows are given. */
INLINE void multiply_pairs(const int m, nn_index lines, nn_index columns, const real *x, nn_index row,
                           const real *pairs, nn_index n, real *dW, int add) {
    vf c[PAIR_PLACES][2] = {{{0}}};
    for (nn_index l = 0; l < lines; l++, x += row) {
        nn_index w = 0;
        for (; w + 4 <= columns; w += 4, pairs += 2 * LANES)
#pragma GCC unroll 7
            for (int r = 0; r < m; r++)
#pragma GCC unroll 2
                for (int k = 0; k < 2; k++) c[r][k] += vset_pair(x + w + 2 * k + r) * vload(pairs + k * LANES);
        for (; w + 2 <= columns; w += 2, pairs += LANES)
#pragma GCC unroll 7
            for (int r = 0; r < m; r++) c[r][0] += vset_pair(x + w + r) * vload(pairs);
        if (w < columns) {
#pragma GCC unroll 7
            for (int r = 0; r < m; r++) c[r][0] += vset_pair((const real[]){x[w + r], 0}) * vload(pairs);
            pairs += LANES;
        }
    }
#pragma GCC unroll 7
    for (int r = 0; r < m; r++) {
        const vf sum = c[r][0] + c[r][1];
        const vi even = 2 * lane_numbers() & (integer)(LANES - 1);
        const vf both = pick(sum, sum, even) + pick(sum, sum, even + 1);
        store_some(dW + r * n, n, add ? load_some(dW + r * n, n) + both : both);
    }
}

#define PAIR_KERNELS(m)                                                                                              \
    static void pairs_##m(nn_index lines, nn_index columns, const real *x, nn_index row, const real *pairs,          \
                          nn_index n, real *dW, int add) {                                                           \
        multiply_pairs(m, lines, columns, x, row, pairs, n, dW, add);                                                \
    }
PAIR_KERNELS(1) PAIR_KERNELS(2) PAIR_KERNELS(3) PAIR_KERNELS(4) PAIR_KERNELS(5) PAIR_KERNELS(6) PAIR_KERNELS(7)
static void (*const pairs_kernels[PAIR_PLACES])(nn_index, nn_index, const real *, nn_index, const real *, nn_index,
                                                real *, int) = {pairs_1, pairs_2, pairs_3, pairs_4,
                                                                pairs_5, pairs_6, pairs_7};

#endif
