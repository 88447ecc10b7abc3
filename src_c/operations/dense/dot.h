/* dot.h: the micro-kernels for few columns, C (M,n) = start + A (M,K) B (K,n), with K in the lanes: dot products.
 *
 * Order: lane l sums the products of k = l, l + LANES, …; the lanes are then added in a tree, and the sum to `start`.
 */
#define DOT_ROWS 4 /* a multiple of BLOCK; enough sums to hide the latency of multiply-add */
#define DOT_COLUMNS ((nn_index)3)

INLINE vf zip_sum(vf a, vf b) { return zip_lo(a, b) + zip_hi(a, b); }

/* Lane r < BLOCK: the sum of all lanes of v[r]. */
INLINE vf sums_across(const vf *v) {
    vf sum = BLOCK == 2 ? zip_sum(v[0], v[1]) : zip_sum(zip_sum(v[0], v[2]), zip_sum(v[1], v[3]));
#pragma GCC unroll 4
    for (nn_index half = LANES / 2; half >= BLOCK; half /= 2) sum += rotate(sum, half);
    return sum;
}

/* The columns of B lie ldb apart; start (M,n), rows ldstart apart, or NULL: 0. n = 1: ldc is 1, ldstart 1 or 0. */
INLINE void multiply_dots(const int n, nn_index M, nn_index K, const real *A, nn_index lda, const real *B, nn_index ldb,
                          real *C, nn_index ldc, const real *start, nn_index ldstart) {
    const vmask tail = mask_first(K % LANES);
    for (nn_index i = 0; i < M; i += DOT_ROWS, A += DOT_ROWS * lda) {
        vf c[DOT_ROWS][4], b[4];
        const real *a[DOT_ROWS]; /* beyond the last row, the last again */
#pragma GCC unroll 4
        for (int r = 0; r < DOT_ROWS; r++) {
            a[r] = A + (i + r < M ? r : M - 1 - i) * lda;
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) c[r][j] = (vf){0};
        }
        nn_index k = 0;
        for (; k + LANES <= K; k += LANES) {
#pragma GCC unroll 4
            for (int j = 0; j < n; j++) b[j] = vload(B + j * ldb + k);
#pragma GCC unroll 4
            for (int r = 0; r < DOT_ROWS; r++)
#pragma GCC unroll 4
                for (int j = 0; j < n; j++) c[r][j] += vload(a[r] + k) * b[j];
        }
        if (k < K) {
#pragma GCC unroll 4
            for (int j = 0; j < n; j++) b[j] = load_mask(B + j * ldb + k, tail);
#pragma GCC unroll 4
            for (int r = 0; r < DOT_ROWS; r++)
#pragma GCC unroll 4
                for (int j = 0; j < n; j++) c[r][j] += load_mask(a[r] + k, tail) * b[j];
        }
        if (n == 1) {
#pragma GCC unroll 4
            for (int r = 0; r < DOT_ROWS; r += BLOCK) {
                vf column[BLOCK];
#pragma GCC unroll 4
                for (int s = 0; s < BLOCK; s++) column[s] = c[r + s][0];
                vf sums = sums_across(column);
                if (i + r >= M) break;
                const vmask rows = mask_first(M - i - r < BLOCK ? M - i - r : BLOCK);
                if (start) sums += ldstart ? load_mask(start + i + r, rows) : vset(*start);
                store_mask(C + i + r, rows, sums);
            }
            continue;
        }
#pragma GCC unroll 4
        for (int r = 0; r < DOT_ROWS; r++)
#pragma GCC unroll 4
            for (int j = 0; j < n; j += BLOCK) {
                const vmask columns = mask_first(n - j < BLOCK ? n - j : BLOCK);
                vf sums = sums_across(c[r] + j);
                if (i + r >= M) break;
                if (start) sums += load_mask(start + (i + r) * ldstart + j, columns);
                store_mask(C + (i + r) * ldc + j, columns, sums);
            }
    }
}

typedef void (*dot_kernel)(nn_index, nn_index, const real *, nn_index, const real *, nn_index, real *, nn_index,
                           const real *, nn_index);
#define DOT(n)                                                                                                     \
    static void dot_##n(nn_index M, nn_index K, const real *A, nn_index lda, const real *B, nn_index ldb, real *C, \
                        nn_index ldc, const real *start, nn_index ldstart) {                                       \
        multiply_dots(n, M, K, A, lda, B, ldb, C, ldc, start, ldstart);                                            \
    }
DOT(1) DOT(2) DOT(3)
static const dot_kernel dot_kernels[] = {dot_1, dot_2, dot_3};
