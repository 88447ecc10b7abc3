/* bfloat16_vectors.h: the dot kernel of bfloat16.h in vector registers, for one piece: up to 12 × 2 vectors of C.
 *
 * One step of k, a word, loads a row of a panel of B and takes a word from each row of A, as tile.h does with reals.
 * Three pieces' products would cost one and a half times the instructions of float32: there is no "high" here.
 * 14 rows, as in tile.h, need more registers for addresses than there are.
 */
#define BF16_ROWS ((nn_index)12)
#define BF16_MC ((nn_index)144)
#define B_WORDS ((nn_index)1 << 18) /* of all pieces */
#define MORE_WORDS 0
#define dot_begin(g) ((void)0)
#define dot_end() ((void)0)

/* Whether this is no slower than float32: where B is not packed yet, enough rows must repay that; (8,512,512) breaks
 * even. */
INLINE int pays(int pieces, nn_index rows, nn_index K, nn_index N) {
    (void)pieces, (void)K, (void)N;
    return rows <= 0 || rows >= 16;
}

INLINE void dot_rows(const int m, const int nv, const dot *t) {
    vf c[BF16_ROWS][2];
#pragma GCC unroll 12
    for (int i = 0; i < m; i++)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) {
            __builtin_prefetch(t->C + i * t->ldc + v * LANES, 1);
            c[i][v] = (vf){0};
        }

    const word *A = t->A, *B = t->B;
    const nn_index lda = t->lda;
    for (nn_index s = 0; s < t->segments; s++) {
        if (t->offsets) A = t->A + t->offsets[s];
        for (nn_index k = t->K; k > 0; k--, A++, B += PANEL) {
            vu b[2];
#pragma GCC unroll 2
            for (int v = 0; v < nv; v++) {
                __builtin_prefetch(B + AHEAD * PANEL + v * LANES); /* a panel is larger than L1 */
                b[v] = load_words(B + v * LANES);
            }
#pragma GCC unroll 12
            for (int i = 0; i < m; i++)
#pragma GCC unroll 2
                for (int v = 0; v < nv; v++) c[i][v] = dot_pairs(c[i][v], A[i * lda], b[v]);
        }
    }
    finish_rows(m, nv, c, 0, t);
}

#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#define PAIRS(m)                                                    \
    static void dot_##m##_1(const dot *t) { dot_rows(m, 1, t); } \
    static void dot_##m##_2(const dot *t) { dot_rows(m, 2, t); }
EACH_HEIGHT(PAIRS)

INLINE void dot_block(const dot *t, int pieces) {
#define PAIRS_1(m) dot_##m##_1,
#define PAIRS_2(m) dot_##m##_2,
    static void (*const kernels[2][BF16_ROWS])(const dot *) = {{EACH_HEIGHT(PAIRS_1)}, {EACH_HEIGHT(PAIRS_2)}};
    assert(pieces == 1);
    (void)pieces;
    kernels[t->n > LANES][t->rows - 1](t);
}

/* One row of n columns in several panels, `step` words apart; in one alone, each sum would wait for the last. */
INLINE void dot_row(const int panels, const dot *t, nn_index n, nn_index step) {
    vf c[4][1][2] = {{{{0}}}}; /* panels, rows and vectors as finish_rows takes them */
    const word *A = t->A, *B = t->B;
    for (nn_index k = t->K; k > 0; k--, A++, B += PANEL)
#pragma GCC unroll 4
        for (int p = 0; p < panels; p++)
#pragma GCC unroll 2
            for (int v = 0; v < 2; v++) c[p][0][v] = dot_pairs(c[p][0][v], *A, load_words(B + p * step + v * LANES));
    dot each = *t;
#pragma GCC unroll 4
    for (int p = 0; p < panels; p++, each.C += PANEL) {
        each.n = least(PANEL, n - p * PANEL);
        each.n > LANES ? finish_rows(1, 2, c[p], 0, &each) : finish_rows(1, 1, c[p], 0, &each);
        if (each.bias) each.bias += PANEL;
        if (each.affine) each.affine += PANEL;
        if (each.saved) each.saved += PANEL;
    }
}

INLINE int packs_in_turn(const nn_gemm *g, const int pieces) {
    (void)g, (void)pieces;
    return 0;
}

INLINE void multiply_slab(slab *s, const int pieces) {
    const nn_gemm *g = s->g;
    word *const A = s->scratch, *const packed = A + A_WORDS;
    real *const C = s->t.C;
    const real *const saved = s->t.saved;
    const word *const B = s->B ? s->B : packed;
    const nn_index step = pieces * s->b_piece; /* between panels */
    const nn_index M = g->M, mc = ceil_div(ceil_div(M, ceil_div(M, ROWS_OF_BLOCK(pieces))), BF16_ROWS) * BF16_ROWS;
    pack_panels(s, packed, step, pieces);
    for (nn_index ic = 0; ic < M; ic += mc) { /* LOOP 3 cuts M, so that packed A fits its buffer */
        const nn_index rows = least(mc, M - ic), height = ceil_div(rows, ceil_div(rows, BF16_ROWS));
        packing p = rows_of_A(s, ic, rows, A);
        pack_rest(&p, pieces);
        nn_index j = 0;
        for (nn_index n; rows == 1 && s->cols - j > PANEL; j += n) {
            const int four = s->cols - j > 3 * PANEL;
            dot t = tile_at(s, &s->t, ic, 1, j);
            t.A = A;
            t.B = B + j / PANEL * step;
            n = least((four ? 4 : 2) * PANEL, s->cols - j);
            four ? dot_row(4, &t, n, step) : dot_row(2, &t, n, step);
            if (s->finish) finish_sums(g, ic, s->jc + j, 1, n);
        }
        for (; j < s->cols; j += PANEL) { /* LOOP 2 */
            dot t = tile_at(s, &s->t, ic, height, j);
            t.B = B + j / PANEL * step;
            for (nn_index i = 0; i < rows; i += height) { /* LOOP 1 */
                t.rows = least(height, rows - i);
                t.A = A + i * t.lda;
                t.C = C + (ic + i) * t.ldc + j;
                if (t.saved) t.saved = saved + (ic + i) * t.ldsaved + j;
                dot_block(&t, pieces);
            }
            if (s->finish) finish_sums(g, ic, s->jc + j, rows, least(PANEL, s->cols - j));
        }
    }
}

/* Windows in lines, which tiles of at most BF16_ROWS of them cut evenly */
INLINE void multiply_windows(slab *s, const int pieces) {
    const nn_gemm *g = s->g;
    const nn_index columns = g->group, height = ceil_div(columns, ceil_div(columns, BF16_ROWS));
    const nn_index step = pieces * s->b_piece; /* between panels */
    word *const packed = s->scratch;
    pack_panels(s, packed, step, pieces);
    const dot all = windows_of(s);
    for (nn_index j = 0; j < s->cols; j += PANEL)
        for (nn_index i = 0, rows; i < g->M; i += rows) {
            const nn_index column = i % columns;
            rows = least(height, columns - column);
            dot t = tile_at(s, &all, i, rows, j);
            t.A = (const word *)g->A + i / columns * g->a_group + column * g->a_row;
            t.B = (s->B ? s->B : packed) + j / PANEL * step;
            dot_block(&t, pieces);
            if (s->finish) finish_sums(g, i, s->jc + j, rows, t.n);
        }
}
