/* pack.h: copies of blocks of matrices, laid out for the micro-kernels of gemm.h.
 *
 * copy_block       Y (rows, cols) = X (rows, cols): a block with a kinder row stride, nothing beyond its last column.
 * transpose_strip  Y (cols, n) = X (n, cols)ᵀ for n ≤ NR: one micro-panel of B from the rows of W, where B = Wᵀ.
 * Lanes of Y between n and the next whole vector are zero.
 * join_columns     Y (rows, n) = X (n, rows)ᵀ for few columns; X is read in whole vectors and blocks of them.
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

/* y (cols, LANES) = x (LANES, cols)ᵀ. What is left of BLOCK columns is taken with those before it. */
static __attribute__((noinline))
void transpose_rows(nn_index cols, const real *x, nn_index ldx, real *y, nn_index ldy) {
    if (cols == 2 && ldx == 2 && BLOCK > 2) { /* two classes, say */
        vf first, second;
        split_pairs(x, &first, &second);
        vstore(y, first);
        vstore(y + ldy, second);
        return;
    }
    for (nn_index k = 0; k < cols && cols < BLOCK; k++)
        for (nn_index r = 0; r < LANES; r++) y[k * ldy + r] = x[r * ldx + k];
    if (cols < BLOCK) return;
    nn_index k = 0;
    for (; k + BLOCK <= cols; k += BLOCK) transpose_blocks(x + k, ldx, y + k * ldy, ldy);
    if (k < cols) transpose_blocks(x + cols - BLOCK, ldx, y + (cols - BLOCK) * ldy, ldy);
}

INLINE void transpose_strip(nn_index n, nn_index cols, const real *x, nn_index ldx, real *y, nn_index ldy) {
    nn_index j = 0;
    for (; j + LANES <= n; j += LANES) transpose_rows(cols, x + j * ldx, ldx, y + j, ldy);
    if (j < n) { /* the rest, with zeros for missing rows */
        real block[LANES * BLOCK] __attribute__((aligned(64))) = {0};
        for (nn_index k = 0; k < cols; k += BLOCK) {
            const nn_index width = cols - k < BLOCK ? cols - k : BLOCK;
            for (nn_index r = 0; r < n - j; r++)
                for (nn_index c = 0; c < width; c++) block[r * BLOCK + c] = x[(j + r) * ldx + k + c];
            real out[BLOCK * LANES] __attribute__((aligned(64)));
            transpose_blocks(block, BLOCK, out, LANES);
            for (nn_index c = 0; c < width; c++) vstore(y + (k + c) * ldy + j, vload(out + c * LANES));
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

/* By perfect shuffles of `wide` whole vectors, a power of two; each then holds LANES / wide rows. */
INLINE void shuffle_columns(const int wide, nn_index n, nn_index rows, const real *x, nn_index ldx, real *y,
                            nn_index ldy) {
    const vmask mask = mask_first(n);
    for (nn_index r = 0; r < rows; r += LANES) {
        vf v[8], w[8];
#pragma GCC unroll 8
        for (int j = 0; j < wide; j++) v[j] = j < n ? vload(x + j * ldx + r) : (vf){0};
#pragma GCC unroll 3
        for (int round = 1; round < wide; round *= 2) {
#pragma GCC unroll 4
            for (int j = 0; j < wide / 2; j++) interleave(v[j], v[j + wide / 2], &w[2 * j], &w[2 * j + 1]);
#pragma GCC unroll 8
            for (int j = 0; j < wide; j++) v[j] = w[j];
        }
        if (n == wide && ldy == wide && r + LANES <= rows) {
#pragma GCC unroll 8
            for (int j = 0; j < wide; j++) vstore(y + r * wide + j * LANES, v[j]);
            continue;
        }
#pragma GCC unroll 8
        for (int j = 0; j < wide; j++)
#pragma GCC unroll 8
            for (int q = 0; q < LANES / wide; q++) {
                const nn_index row = r + j * (LANES / wide) + q;
                if (row < rows) store_mask(y + row * ldy, mask, rotate(v[j], q * wide));
            }
    }
}

static void join_columns(nn_index n, nn_index rows, const real *x, nn_index ldx, real *y, nn_index ldy) {
    if (n == 2)
        shuffle_columns(2, n, rows, x, ldx, y, ldy);
    else if (n <= 4 && LANES >= 8)
        shuffle_columns(4, n, rows, x, ldx, y, ldy);
    else if (n <= 8 && LANES == 16)
        shuffle_columns(8, n, rows, x, ldx, y, ldy);
    else
        for (nn_index j = 0; j < n; j += LANES)
            for (nn_index r = 0; r < rows; r += BLOCK) {
                const vmask mask = mask_first(n - j);
                vf c[BLOCK];
                load_transposed(x + j * ldx + r, ldx, c);
                for (nn_index q = 0; q < BLOCK && r + q < rows; q++) store_mask(y + (r + q) * ldy + j, mask, c[q]);
            }
}
