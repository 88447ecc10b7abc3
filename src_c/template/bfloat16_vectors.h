/* bfloat16_vectors.h: the dot kernel of bfloat16.h in vector registers, for one piece: MR × 2 vectors of C.
 *
 * One step of k, a word, loads a row of a panel of B and takes a word from each row of A, as tile.h does with reals.
 * Three pieces' products would cost one and a half times the instructions of float32: there is no "high" here.
 */
#define BF16_ROWS ((nn_index)MR)
#define BF16_GRAIN ((nn_index)1)
#define dot_begin() ((void)0)
#define dot_end() ((void)0)

INLINE void dot_rows(const int m, const int nv, const dot *t) {
    vf c[MR][2];
    const vmask mask = mask_first(t->n - (nv - 1) * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < m; i++)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) c[i][v] = (vf){0};

    const word *A = t->A, *B = t->B;
    const nn_index lda = t->lda;
    for (nn_index k = t->K; k > 0; k--, A++, B += PANEL) {
        vu b[2];
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) b[v] = load_words(B + v * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < m; i++)
#pragma GCC unroll 2
            for (int v = 0; v < nv; v++) c[i][v] = dot_pairs(c[i][v], A[i * lda], b[v]);
    }

    real *C = t->C;
#pragma GCC unroll 16
    for (int i = 0; i < m; i++, C += t->ldc)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) {
            const vmask some = v == nv - 1 ? mask : mask_first(LANES);
            if (t->bias) c[i][v] += load_mask(t->bias + v * LANES, some);
            if (t->add) c[i][v] += load_mask(C + v * LANES, some);
            store_mask(C + v * LANES, some, c[i][v]);
        }
}

#define PAIRS(m)                                                    \
    static void dot_##m##_1(const dot *t) { dot_rows(m, 1, t); } \
    static void dot_##m##_2(const dot *t) { dot_rows(m, 2, t); }
EACH_M(PAIRS)

INLINE void dot_block(const dot *t, int pieces) {
#define PAIRS_1(m) dot_##m##_1,
#define PAIRS_2(m) dot_##m##_2,
    static void (*const kernels[2][MR])(const dot *) = {{EACH_M(PAIRS_1)}, {EACH_M(PAIRS_2)}};
    assert(pieces == 1);
    (void)pieces;
    kernels[t->n > LANES][t->rows - 1](t);
}
