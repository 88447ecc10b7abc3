/* pack.h: copies of blocks of matrices, laid out for the micro-kernels of gemm.h.
 *
 * copy_block       Y (rows, cols) = X (rows, cols): a block with a kinder row stride, nothing beyond its last column.
 * transpose_strip  Y (cols, n) = X (n, cols)ᵀ for n ≤ NR: one micro-panel of B from the rows of W, where B = Wᵀ.
 * Lanes of Y between n and the next whole vector are zero.
 */

INLINE void copy_block(nn_index rows, nn_index cols, const real *x, nn_index ldx, real *y, nn_index ldy) {
    const vmask tail = mask_first(cols % LANES);
    for (nn_index i = 0; i < rows; i++, x += ldx, y += ldy) {
        nn_index j = 0;
        for (; j + LANES <= cols; j += LANES) {
            if (VECTOR_BYTES < 64) __builtin_prefetch(x + AHEAD * ldx + j); /* Sapphire Rapids: 5 to 15 % slower */
            vstore(y + j, vload(x + j));
        }
        if (j < cols) vstore(y + j, load_mask(x + j, tail));
    }
}

/* y (BLOCK, LANES) = x (LANES, BLOCK)ᵀ */
INLINE void transpose_blocks(const real *x, nn_index ldx, real *y, nn_index ldy) {
    vf v[BLOCK];
    load_transposed(x, ldx, v);
#pragma GCC unroll 4
    for (int r = 0; r < BLOCK; r++) vstore(y + r * ldy, v[r]);
}

INLINE void transpose_strip(nn_index n, nn_index cols, const real *x, nn_index ldx, real *y, nn_index ldy) {
    real block[LANES * BLOCK] __attribute__((aligned(64))); /* with zeros for missing rows */
    for (nn_index j = 0; j < n; j += LANES, x += LANES * ldx, y += LANES) {
        const nn_index rows = n - j < LANES ? n - j : LANES;
        for (nn_index k = 0; k < cols && cols < BLOCK; k++)
            for (nn_index r = 0; r < LANES; r++) y[k * ldy + r] = r < rows ? x[r * ldx + k] : 0;
        if (rows < LANES) memset(block, 0, sizeof block);
        for (nn_index k = 0; k < cols && cols >= BLOCK; k += BLOCK) {
            const nn_index first = k + BLOCK <= cols ? k : cols - BLOCK; /* the last block ends with the last column */
            if (rows < LANES) {
                for (nn_index r = 0; r < rows; r++)
                    memcpy(block + r * BLOCK, x + r * ldx + first, BLOCK * sizeof(real));
                transpose_blocks(block, BLOCK, y + first * ldy, ldy);
            } else
                transpose_blocks(x + first, ldx, y + first * ldy, ldy);
        }
    }
}

/* Y = micro-panels (K, NR), one after the other, of B (K, cols), which lies at B[k ldb + j] or, transposed,
 * B[j ldb + k]. Inlined, it slows its caller where nothing is packed: 3 ns of a product of 16×8×32. */
static __attribute__((noinline))
void pack_B(nn_index K, nn_index cols, const real *B, nn_index ldb, int transposed, real *y) {
    for (nn_index j = 0; j < cols; j += NR, y += K * NR) {
        const nn_index n = cols - j < NR ? cols - j : NR;
        if (transposed)
            transpose_strip(n, K, B + j * ldb, ldb, y, NR);
        else
            copy_block(K, n, B + j, ldb, y, NR);
    }
}
