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
 * even. Gradients of windows' weights take half of the multiplications in float32. Measured: bench/NOTES.md */
INLINE int pays(int pieces, nn_index rows, nn_index K, nn_index N) {
    (void)pieces, (void)K, (void)N;
    return rows != NN_WINDOW_GRADIENTS && (rows <= 0 || rows >= 16);
}

INLINE void dot_rows(const int m, const int nv, const dot *t, const ending *e) {
    vf c[BF16_ROWS][2];
    const real *const C = e->C + t->i * e->ldc + t->j;
#pragma GCC unroll 12
    for (int i = 0; i < m; i++)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) {
            __builtin_prefetch(C + i * e->ldc + v * LANES, 1);
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
    finish_rows(m, nv, c, e, t->i, t->j, t->n);
}

#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#define PAIRS(m)                                                                        \
    static void dot_##m##_1(const dot *t, const ending *e) { dot_rows(m, 1, t, e); } \
    static void dot_##m##_2(const dot *t, const ending *e) { dot_rows(m, 2, t, e); }
EACH_HEIGHT(PAIRS)

INLINE void dot_block(const dot *t, const ending *e, int pieces) {
#define PAIRS_1(m) dot_##m##_1,
#define PAIRS_2(m) dot_##m##_2,
    static void (*const kernels[2][BF16_ROWS])(const dot *, const ending *) = {{EACH_HEIGHT(PAIRS_1)},
                                                                                {EACH_HEIGHT(PAIRS_2)}};
    assert(pieces == 1);
    (void)pieces;
    kernels[t->n > LANES][t->rows - 1](t, e);
}

/* One row in several panels, `step` words apart; in one alone, each sum would wait for the last. */
INLINE void dot_row(const int panels, const dot *t, const ending *e, nn_index step) {
    vf c[4][1][2] = {{{{0}}}}; /* panels, rows and vectors as finish_rows takes them */
    const word *A = t->A, *B = t->B;
    for (nn_index k = t->K; k > 0; k--, A++, B += PANEL)
#pragma GCC unroll 4
        for (int p = 0; p < panels; p++)
#pragma GCC unroll 2
            for (int v = 0; v < 2; v++) c[p][0][v] = dot_pairs(c[p][0][v], *A, load_words(B + p * step + v * LANES));
#pragma GCC unroll 4
    for (int p = 0; p < panels; p++) {
        const nn_index j = t->j + p * PANEL, n = least(PANEL, t->n - p * PANEL);
        n > LANES ? finish_rows(1, 2, c[p], e, t->i, j, n) : finish_rows(1, 1, c[p], e, t->i, j, n);
    }
}

INLINE int packs_in_turn(const nn_gemm *g, const int pieces) {
    (void)g, (void)pieces;
    return 0;
}

INLINE void multiply_slab(slab *s, const int pieces) {
    const nn_gemm *g = s->g;
    word *const A = s->scratch, *const packed = A + A_WORDS;
    const word *const B = s->B ? s->B : packed;
    const nn_index step = pieces * s->b_piece; /* between panels */
    const nn_index M = g->M, mc = ceil_div(ceil_div(M, ceil_div(M, ROWS_OF_BLOCK(pieces))), BF16_ROWS) * BF16_ROWS;
    pack_panels(s, packed, step, pieces);
    for (nn_index ic = 0; ic < M; ic += mc) { /* LOOP 3 cuts M, so that packed A fits its buffer */
        const nn_index rows = least(mc, M - ic), height = ceil_div(rows, ceil_div(rows, BF16_ROWS));
        packing p = rows_of_A(s, ic, rows, A);
        pack_rest(&p, pieces);
        dot *const t = &s->t;
        t->j = 0;
        for (nn_index n; rows == 1 && s->cols - t->j > PANEL; t->j += n) {
            const int four = s->cols - t->j > 3 * PANEL;
            t->i = ic, t->A = A, t->B = B + t->j / PANEL * step;
            t->n = n = least((four ? 4 : 2) * PANEL, s->cols - t->j);
            four ? dot_row(4, t, &s->end, step) : dot_row(2, t, &s->end, step);
            if (s->finish) finish_sums(g, ic, s->jc + t->j, 1, n);
        }
        for (; t->j < s->cols; t->j += PANEL) { /* LOOP 2 */
            t->B = B + t->j / PANEL * step, t->n = least(PANEL, s->cols - t->j);
            for (nn_index i = 0; i < rows; i += height) { /* LOOP 1 */
                t->i = ic + i, t->rows = least(height, rows - i), t->A = A + i * t->lda;
                dot_block(t, &s->end, pieces);
            }
            if (s->finish) finish_sums(g, ic, s->jc + t->j, rows, t->n);
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
    dot t = windows_of(s);
    for (t.j = 0; t.j < s->cols; t.j += PANEL) {
        t.B = (s->B ? s->B : packed) + t.j / PANEL * step, t.n = least(PANEL, s->cols - t.j);
        for (t.i = 0; t.i < g->M; t.i += t.rows) {
            const nn_index column = t.i % columns;
            t.rows = least(height, columns - column);
            t.A = (const word *)g->A + t.i / columns * g->a_group + column * g->a_row;
            dot_block(&t, &s->end, pieces);
            if (s->finish) finish_sums(g, t.i, s->jc + t.j, t.rows, t.n);
        }
    }
}
