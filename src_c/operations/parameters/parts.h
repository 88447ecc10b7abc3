/* parts.h: sums over rows that an operation on rows brings along while it has them in hand, with the bits of
 * column_sums (reduce.h), so that nothing is written for that one to read.
 *
 * Of each chunk of CHUNK_ROWS rows of n elements there is a part (CHAINS,n): row i of the chunk goes to chain i mod 4,
 * and in the end the first chain is the sum of all. A span begins where a chunk does. The operation sum_parts adds the
 * chunks.
 */
#ifndef NNCORE_PARTS_H
#define NNCORE_PARTS_H

#include "core/program.h"
#include "vectors/lanes.h"

enum { CHUNK_ROWS = NN_SUM_ROWS, CHAINS = NN_SUM_CHAINS };

/* The part of the chunk that begins at a row, its chains 0; NULL: it is not wanted. */
INLINE real *open_part(real *parts, nn_index row, nn_index n) {
    if (!parts) return NULL;
    real *part = parts + row / CHUNK_ROWS * CHAINS * n;
    memset(part, 0, (size_t)(CHAINS * n) * sizeof(real));
    return part;
}

/* Add x, which is `unfused`, to a chain from its element j on. */
INLINE void add_to_chain(real *chain, nn_index j, nn_index left, vf x) {
    store_some(chain + j, left, load_some(chain + j, left) + x);
}

INLINE void close_part(real *part, nn_index n) {
    if (part)
        VECTORS(j, left, n, {
            const real *p = part + j;
            const vf upper = load_some(p + 2 * n, left) + load_some(p + 3 * n, left);
            store_some(part + j, left, (load_some(p, left) + load_some(p + n, left)) + upper);
        });
}

static void sum_parts(nn_index rows, nn_index cols, const real *part, nn_index apart, real *y, int *nonfinite) {
    memcpy(y, part, (size_t)cols * sizeof(real));
    while ((rows -= CHUNK_ROWS) > 0) {
        part += apart;
        VECTORS(j, left, cols, store_some(y + j, left, load_some(y + j, left) + load_some(part + j, left)););
    }
    if (any_nonfinite(1, cols, y, cols)) nn_set_flag(nonfinite);
}

#endif
