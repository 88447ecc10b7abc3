/* tile.h: the micro-kernels, C (m,n) = [C +] ( bias + A (m,K) B (K,n) ) with all of C in registers.
 *
 * One step of k loads a row of B and multiplies it by m elements of A. There is a kernel for each m ≤ MR, for A read
 * along rows (X) or columns (Xᵀ), and for each width: one vector or two, the last one masked; two whole ones, the
 * usual case, NR columns; and more for few rows, where two would not be enough sums to hide the latency of
 * multiply-add, and one row should go through B once. Others read B = Wᵀ as rows of W. Every kernel performs the same
 * operations on an element, so the choice never shows in a result.
 */
#define NR (2 * LANES)
#define BY_ROWS_VECTORS (LANES == 16 ? 1 : 2) /* enough sums to hide the latency of multiply-add, even for one row */
#define BY_ROWS_COLUMNS (BY_ROWS_VECTORS * LANES)

typedef struct tile {
    nn_index n, K;
    nn_index segments; /* of K steps each, one after another in A and B, but */
    const nn_index *offsets, *offsets_of_b; /* where they begin in A, or in B, if not NULL; */
    const real *A, *B; /* B is where the first one begins */
    nn_index lda, ldb; /* A(i,k) is A[i lda + k], transposed A[i + k lda]; B(k,j) is B[k ldb + j] */
    real *C;
    nn_index ldc;
    const real *bias; /* (m,n) or NULL: 0 */
    nn_index ldbias;  /* 0: the same for each row */
    int add;          /* to what C holds */
    const real *affine; /* what follows them, rows of (3,n) `ldaffine` apart (affine.h); or NULL */
    nn_index ldaffine;
    /* What follows the last sums of the usual layers costs no pass over C */
    int relu;         /* store max(0, C) */
    const real *saved; /* (m,n) or NULL: times the derivative of ReLU */
    nn_index ldsaved;
    nn_fetching ahead; /* at each k, see ahead.h */
    vf *zeros;        /* NULL, or 0 times all sums are added: nan if one is inf or nan; lanes beyond n do no harm */
} tile;

#define BLOCK ((int)(16 / sizeof(real))) /* reals of the 16-byte blocks that zip_lo and zip_hi work in */

/* v (BLOCK, LANES) = x (LANES, BLOCK)ᵀ. First vector r holds rows r, r + BLOCK, r + 2 BLOCK, …, one per 16-byte
 * block; log2 BLOCK perfect shuffles transpose all its blocks at once. */
INLINE void load_transposed(const real *x, nn_index ldx, vf *v) {
    vf w[BLOCK];
#pragma GCC unroll 4
    for (int r = 0; r < BLOCK; r++) v[r] = load_blocks(x + r * ldx, BLOCK * ldx);
#pragma GCC unroll 2
    for (int round = 1; round < BLOCK; round *= 2) {
#pragma GCC unroll 2
        for (int r = 0; r < BLOCK / 2; r++) {
            w[2 * r] = zip_lo(v[r], v[r + BLOCK / 2]);
            w[2 * r + 1] = zip_hi(v[r], v[r + BLOCK / 2]);
        }
#pragma GCC unroll 4
        for (int r = 0; r < BLOCK; r++) v[r] = w[r];
    }
}

/* Rows fetched ahead. A row of B in place, or of Xᵀ, often lies on a page of its own, where the CPU's own prefetch
 * stops. */
#define AHEAD 16

/* Whether C is fetched before the sums. Stores of 64 bytes seldom fill the buffer while they wait for it. Measured:
 * bench/NOTES.md */
#define FETCH_C (VECTOR_BYTES < 64)

/* What is touched next (ahead.h) is fetched by tiles of so many rows, so many bytes at each k: memory gives a line in
 * about as many cycles as MR × NR multiply-adds take. Twice as many would fill the buffers for lines that are missing,
 * for which all loads wait. With avx2 tiles of Xᵀ have no load to spare. Measured: bench/NOTES.md */
#define FETCHING_ROWS(transposed) ((transposed) && VECTOR_BYTES < 64 ? MR + 1 : MR / 2)
#define FETCHED_BYTES VECTOR_BYTES

/* Rows of A to a pointer: so many multiples of lda fit an address, hence what 14 rows need stays in registers.
 * Otherwise the compiler measures each row's distance from the first, spills some of them and the counter of k, and
 * the counter's stores queue behind those of C. */
#define POINTED_ROWS 3
#define OPAQUE(pointer) __asm__("" : "+r"(pointer)) /* not to be taken for a distance from another */

#define LOAD(p, v) (masked && (v) == nv - 1 ? load_mask((p) + (v) * LANES, mask) : vload((p) + (v) * LANES))

/* What the sums of nv vectors of columns begin with */
INLINE void begin_tile(const int m, const int nv, const int masked, const tile *t, vf c[MR][8]) {
    const vmask mask = mask_first(t->n - (nv - 1) * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < m; i++) {
        if (FETCH_C && nv <= 2) __builtin_prefetch(t->C + i * t->ldc, 1);
        if (FETCH_C && nv == 2) __builtin_prefetch(t->C + i * t->ldc + LANES, 1);
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) c[i][v] = t->bias ? LOAD(t->bias + i * t->ldbias, v) : (vf){0};
    }
}

/* What follows the sums, and C */
INLINE void end_tile(const int m, const int nv, const int masked, const tile *t, vf c[MR][8]) {
    const vmask mask = mask_first(t->n - (nv - 1) * LANES);
    const nn_index ldc = t->ldc;
    real *C = t->C;
    if (t->add)
#pragma GCC unroll 16
        for (int i = 0; i < m; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) c[i][v] += LOAD(C + i * ldc, v);
    if (t->affine)
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) {
            const vf mean = LOAD(t->affine, v), factor = LOAD(t->affine + t->ldaffine, v);
            const vf offset = LOAD(t->affine + 2 * t->ldaffine, v);
#pragma GCC unroll 16
            for (int i = 0; i < m; i++) c[i][v] = (c[i][v] - mean) * factor + offset;
        }
    if (t->relu)
#pragma GCC unroll 16
        for (int i = 0; i < m; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) c[i][v] = f_relu(c[i][v], NULL);
    if (t->saved)
#pragma GCC unroll 16
        for (int i = 0; i < m; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) c[i][v] *= derivative_relu(LOAD(t->saved + i * t->ldsaved, v), NULL);
    if (t->zeros) {
        vf sum[4] = {*t->zeros};
#pragma GCC unroll 16
        for (int i = 0; i < m; i++)
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) sum[(i * nv + v) % 4] += c[i][v] * (real)0;
        *t->zeros = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; i++, C += ldc)
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            if (masked && v == nv - 1)
                store_mask(C + v * LANES, mask, c[i][v]);
            else
                vstore(C + v * LANES, c[i][v]);
}

INLINE void multiply_tile(const int m, const int nv, const int masked, const int transposed, const tile *t) {
    vf c[MR][8], b[8];
    const vmask mask = mask_first(t->n - (nv - 1) * LANES);
    const nn_index lda = t->lda, ldb = t->ldb;
    begin_tile(m, nv, masked, t, c);
    const real *B = t->B, *A[(MR + POINTED_ROWS - 1) / POINTED_ROWS]; /* A[0] alone if transposed */
    const real *begin = t->A + (t->offsets ? t->offsets[0] : 0);
    const int pointed = transposed ? MR : POINTED_ROWS;
    nn_fetching ahead = t->ahead;
    for (nn_index s = 0;;) {
#pragma GCC unroll 5
        for (int p = 0; p * pointed < m; p++) {
            A[p] = begin + p * pointed * lda;
            OPAQUE(A[p]);
        }
        for (nn_index k = t->K; k > 0; k--, B += ldb) {
            if (m >= FETCHING_ROWS(transposed)) nn_fetch(&ahead);
            if (transposed) __builtin_prefetch(A[0] + AHEAD * lda), __builtin_prefetch(A[0] + AHEAD * lda + m - 1);
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) {
                if (nv <= 2) __builtin_prefetch(B + AHEAD * ldb + v * LANES);
                b[v] = LOAD(B, v);
            }
#pragma GCC unroll 16
            for (int i = 0; i < m; i++) {
                const real a = A[i / pointed][i % pointed * (transposed ? 1 : lda)];
#pragma GCC unroll 8
                for (int v = 0; v < nv; v++) c[i][v] += a * b[v];
            }
#pragma GCC unroll 5
            for (int p = 0; p * pointed < m; p++) A[p] += transposed ? lda : 1;
        }
        if (++s >= t->segments) break;
        begin = t->offsets ? t->A + t->offsets[s] : begin + t->K * (transposed ? lda : 1);
        if (t->offsets_of_b) B = t->B + t->offsets_of_b[s] - t->offsets_of_b[0];
    }
    end_tile(m, nv, masked, t, c);
}

/* The same for whole vectors of columns of B = Wᵀ: rows of W (n,K), K ≥ BLOCK, ldb apart, are transposed in
 * registers. A row's elements of LANES steps are used together, as rows may displace each other from L1. */
INLINE void multiply_tile_by_rows(const int m, const int nv, const int transposed, const tile *t) {
    vf c[MR][8];
    const nn_index lda = t->lda, ldb = t->ldb, K = t->K;
    begin_tile(m, nv, 0, t, c);
    for (nn_index k0 = 0; k0 < K; k0 += LANES)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++)
            for (nn_index k = k0; k < k0 + LANES && k < K; k += BLOCK) {
                const nn_index done = k + BLOCK <= K ? 0 : k + BLOCK - K; /* of the last block, which ends with K */
                const real *A = t->A + (k - done) * (transposed ? lda : 1);
                vf b[BLOCK];
                load_transposed(t->B + v * LANES * ldb + k - done, ldb, b);
#pragma GCC unroll 4
                for (int r = 0; r < BLOCK; r++, A += transposed ? lda : 1) {
                    if (r < done) continue;
#pragma GCC unroll 16
                    for (int i = 0; i < m; i++) c[i][v] += A[transposed ? i : i * lda] * b[r];
                }
            }
    end_tile(m, nv, 0, t, c);
}
#undef LOAD

#define TILE(m, nv, masked)                                                                                   \
    static void tile_##m##_##nv##masked(const tile *t) { multiply_tile(m, nv, sizeof #masked > 1, 0, t); }     \
    static void tile_##m##_##nv##masked##_transposed(const tile *t) { multiply_tile(m, nv, sizeof #masked > 1, 1, t); }
#define TILE_BY_ROWS(m)                                                                                        \
    static void tile_##m##_by_rows(const tile *t) { multiply_tile_by_rows(m, BY_ROWS_VECTORS, 0, t); }         \
    static void tile_##m##_by_rows_transposed(const tile *t) { multiply_tile_by_rows(m, BY_ROWS_VECTORS, 1, t); }
#define TILES(m) TILE(m, 1, masked) TILE(m, 2, masked) TILE(m, 2, )

#if MR == 14
#define EACH_M(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif MR == 6
#define EACH_M(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#error "list the heights of tiles up to MR"
#endif
EACH_M(TILES)
TILE(1, 8, ) TILE(1, 4, ) TILE(2, 4, ) TILE(3, 4, )
#define EACH_RAGGED(X) X(3) X(4) X(5) X(6) X(7) X(8) /* vectors of one row, the last one masked */
#define RAGGED(nv) TILE(1, nv, masked)
EACH_RAGGED(RAGGED)
EACH_M(TILE_BY_ROWS)
typedef void (*tile_kernel)(const tile *);
enum { ONE, TWO_MASKED, TWO, FOUR, EIGHT, BY_ROWS, THREE_RAGGED, WIDTHS = THREE_RAGGED + 6 };
#define TILE_1M(m) tile_##m##_1masked,
#define TILE_2M(m) tile_##m##_2masked,
#define TILE_2(m) tile_##m##_2,
#define TILE_1MT(m) tile_##m##_1masked_transposed,
#define TILE_2MT(m) tile_##m##_2masked_transposed,
#define TILE_2T(m) tile_##m##_2_transposed,
#define TILE_R(m) tile_##m##_by_rows,
#define TILE_RT(m) tile_##m##_by_rows_transposed,
#define TILE_RAGGED(nv) {tile_1_##nv##masked},
#define TILE_RAGGED_T(nv) {tile_1_##nv##masked_transposed},
static const tile_kernel tile_kernels[2][WIDTHS][MR] = { /* [transposed][width][m − 1] */
    {{EACH_M(TILE_1M)}, {EACH_M(TILE_2M)}, {EACH_M(TILE_2)},
     {tile_1_4, tile_2_4, tile_3_4}, {tile_1_8}, {EACH_M(TILE_R)}, EACH_RAGGED(TILE_RAGGED)},
    {{EACH_M(TILE_1MT)}, {EACH_M(TILE_2MT)}, {EACH_M(TILE_2T)},
     {tile_1_4_transposed, tile_2_4_transposed, tile_3_4_transposed},
     {tile_1_8_transposed}, {EACH_M(TILE_RT)}, EACH_RAGGED(TILE_RAGGED_T)},
};

INLINE nn_index tile_columns(int width) {
    static const nn_index columns[] = {[ONE] = LANES, [TWO_MASKED] = NR, [TWO] = NR, [FOUR] = 4 * LANES,
                                       [EIGHT] = 8 * LANES, [BY_ROWS] = BY_ROWS_COLUMNS};
    return width >= THREE_RAGGED ? (width - THREE_RAGGED + 3) * LANES : columns[width];
}

/* The widest that `cols` columns fill; packed B is NR wide. */
INLINE int tile_width(nn_index rows, nn_index cols, int packed) {
    if (!packed && rows == 1 && cols >= 8 * LANES) return EIGHT;
    if (!packed && rows == 1 && cols > 2 * LANES) return THREE_RAGGED + (int)((cols - 1) / LANES) - 2;
    if (!packed && rows <= 3 && cols >= 4 * LANES) return FOUR;
    return cols >= NR ? TWO : cols > LANES ? TWO_MASKED : ONE;
}
