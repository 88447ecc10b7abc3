/* bfloat16.h: C (M,N) = f( bias + A (M,K) B (K,N) ) from operands cut to bfloat16, summed in float32, on one thread.
 *
 * An operand is taken as the sum of `pieces` bfloat16: one, its value rounded to 8 bits; or two, hi and the rest rounded,
 * 16 bits in all. The kernel adds up lo hi, hi hi and hi lo; lo lo is below the error of the others. Two k share a
 * word, as the instructions want them:
 *   A  (M, K/2)   rows of words         B  panels of PANEL columns, each (pieces, K/2, PANEL), one after the other
 * K is padded with zeros to a multiple of 32. Both are packed block by block; B may have been packed whole by `pack`.
 *
 * Order: K is cut into blocks of depth_of_blocks(K). An element is bias + the blocks' sums, in order, each one chain
 * of the dot kernel from 0. M, and the blocks given to threads, change nothing of that.
 * Splitting: Henry, Tang, Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
 * Computations", ARITH 2019.
 */
#define PANEL ((nn_index)32)
#define STEP ((nn_index)32) /* of k, 16 words */
#define BF16_KC ((nn_index)1024)
#define A_WORDS (BF16_MC * (BF16_KC / 2 + 16)) /* of one piece; rows not a multiple of 2048 bytes apart, or they share sets of L1 */
#define B_WORDS ((nn_index)1 << 18) /* of all pieces */
#define STRIP_WORDS (PANEL * (BF16_KC / 2))
#define BF16_SCRATCH ((size_t)(2 * A_WORDS + B_WORDS + STRIP_WORDS) * sizeof(word))
#define SCRATCH_BYTES (GEMM_SCRATCH > BF16_SCRATCH ? GEMM_SCRATCH : BF16_SCRATCH)

typedef struct dot { /* C (rows ≤ BF16_ROWS, n ≤ PANEL) = f( [C +] bias + Σ over K words of pairs ) */
    nn_index rows, n, K;
    const word *A, *B; /* piece 0; the others lie a_piece, b_piece words further on */
    nn_index lda, a_piece, b_piece;
    real *C;
    nn_index ldc;
    const real *bias; /* (n) or NULL */
    int add, relu; /* f, as in tile.h: ReLU; its derivative, of (rows,n) kept elements; or a look for inf and nan */
    const real *kept;
    nn_index ldkept;
    vf *zeros;
} dot;

typedef word vu_any __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(word)), may_alias));
INLINE vu load_words(const word *p) { return *(const vu_any *)p; }
INLINE void store_words(word *p, vu v) { *(vu_any *)p = v; }

/* C from row `first` on = f of m rows of sums, nv vectors each. Over tiles in registers, for a pass over C is dear where K is
 * short: of dW (784,32,128) and dX (128,128,256) a pass of its own takes 74 → 65 and 89 → 85 % of peak. */
INLINE void finish_rows(const int m, const int nv, vf (*c)[2], nn_index first, const dot *t) {
    const vmask last = mask_first(t->n - (nv - 1) * LANES), whole = mask_first(LANES);
    const vmask mask[2] = {nv == 1 ? last : whole, last};
    const nn_index ldc = t->ldc, ldkept = t->ldkept;
    real *const C = t->C + first * ldc;
#define EACH_SUM                                             \
    _Pragma("GCC unroll 12") for (int i = 0; i < m; i++) \
        _Pragma("GCC unroll 2") for (int v = 0; v < nv; v++)
    if (t->bias) EACH_SUM c[i][v] += load_mask(t->bias + v * LANES, mask[v]);
    if (t->add) EACH_SUM c[i][v] += load_mask(C + i * ldc + v * LANES, mask[v]);
    if (t->relu) EACH_SUM c[i][v] = f_relu(c[i][v], (vf){0});
    if (t->kept) {
        const real *const kept = t->kept + first * ldkept;
        EACH_SUM c[i][v] *= derivative_relu(load_mask(kept + i * ldkept + v * LANES, mask[v]), (vf){0});
    }
    if (t->zeros) {
        vf sum[4] = {*t->zeros};
        EACH_SUM sum[(i * nv + v) % 4] += c[i][v] * (real)0;
        *t->zeros = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
    EACH_SUM store_mask(C + i * ldc + v * LANES, mask[v], c[i][v]);
#undef EACH_SUM
}

#include BF16_KERNEL
_Static_assert(BF16_MC % BF16_ROWS == 0 && BF16_MC % 16 == 0, "blocks of A are whole tiles, and whole vectors of Xᵀ");

#define BITS_INFINITE 0x7f800000
#define BITS_ROUND_UP 0x7f7f8000 /* the least that rounds to an infinite bfloat16 */

/* x rounded to bfloat16; finite x never becomes infinite: cut there, the rest goes to the next piece. */
INLINE vf rounded(vf x) {
    const vu bits = (vu)x, size = bits & 0x7fffffff;
    const vu nearest = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000;
    const vf number = vselect((vi)(size >= BITS_ROUND_UP), (vf)(bits & 0xffff0000), (vf)nearest);
    return vselect((vi)(size > BITS_INFINITE), x, number);
}

/* Piece p of x. */
INLINE vf piece_of(vf x, int p, int pieces) {
    if (pieces == 1) return x; /* `halves` rounds */
    const vf hi = rounded(x);
    return p == 0 ? hi : vselect((vi)(((vu)x & 0x7fffffff) == BITS_INFINITE), (vf){0}, x - hi);
}

INLINE nn_index whole_words(nn_index k) { return share(k, STEP) * (STEP / 2); }

/* Y (n, words) = X (n, K), pairs of neighbours in a row. */
INLINE void pair_columns(nn_index n, nn_index K, const real *x, nn_index ldx, int p, int pieces, word *y, nn_index ldy) {
    for (nn_index i = 0; i < n; i++, x += ldx, y += ldy)
        for (nn_index k = 0; k < K; k += STEP) {
            const vf first = load_some(x + k, K - k), second = load_some(x + k + LANES, K - k - LANES);
            store_words(y + k / 2, halves(piece_of(first, p, pieces), piece_of(second, p, pieces)));
        }
}

/* Y (words, n) = X (K, n), pairs of rows; n is rounded up to whole vectors. */
INLINE void pair_rows(nn_index n, nn_index K, const real *x, nn_index ldx, int p, int pieces, word *y, nn_index ldy) {
    for (nn_index w = 0; w < whole_words(K); w++, x += 2 * ldx, y += ldy)
        for (nn_index j = 0; j < n; j += LANES) {
            const vf first = 2 * w < K ? load_some(x + j, n - j) : (vf){0};
            const vf second = 2 * w + 1 < K ? load_some(x + ldx + j, n - j) : (vf){0};
            store_words(y + j, pairs(piece_of(first, p, pieces), piece_of(second, p, pieces)));
        }
}

/* Panels of B (K, cols), from B[k ldb + j] or, transposed, B[j ldb + k]; pieces lie piece_step words apart. */
INLINE void pair_panels(nn_index K, nn_index cols, const real *B, nn_index ldb, int transposed, int pieces,
                        word *strip, word *y, nn_index piece_step) {
    const nn_index depth = 2 * STRIP_WORDS / PANEL; /* of k that fit the strip */
    for (nn_index j = 0; j < cols; j += PANEL)
        for (int p = 0; p < pieces; p++, y += piece_step) {
            const nn_index n = least(PANEL, cols - j);
            if (!transposed) pair_rows(n, K, B + j, ldb, p, pieces, y, PANEL);
            for (nn_index k = 0; transposed && k < K; k += depth) {
                const nn_index some = least(depth, K - k), words = whole_words(some);
                pair_columns(n, some, B + j * ldb + k, ldb, p, pieces, strip, words);
                transpose_strip(n, words, (const real *)strip, words, (real *)y + k / 2 * PANEL, PANEL);
            }
        }
}

/* One piece of A (rows, K) from A[i lda + k] or, transposed, A[k lda + i]. */
INLINE void pair_A(nn_index rows, nn_index K, const real *A, nn_index lda, int transposed, int p, int pieces,
                   word *strip, word *y, nn_index ldy) {
    if (!transposed) {
        pair_columns(rows, K, A, lda, p, pieces, y, ldy);
        return;
    }
    for (nn_index k = 0; k < K; k += 2 * PANEL) { /* PANEL words at a time */
        const nn_index some = least(2 * PANEL, K - k);
        pair_rows(rows, some, A + k * lda, lda, p, pieces, strip, BF16_MC);
        transpose_strip(whole_words(some), rows, (const real *)strip, BF16_MC, (real *)y + k / 2, ldy);
    }
}

INLINE nn_index depth_of_blocks(nn_index K) { return share(share(K, share(K, BF16_KC)), STEP) * STEP; }

INLINE void multiply_pieces(const nn_gemm *g, const int pieces) {
    if (g->M == 0 || g->K == 0) {
        gemm(g);
        return;
    }
    const nn_index M = g->M, N = g->N, K = g->K, kc = depth_of_blocks(K);
    const int a_transposed = g->a_col != 1, b_transposed = g->b_col != 1;
    const nn_index lda = a_transposed ? g->a_col : g->a_row, ldb = b_transposed ? g->b_col : g->b_row;
    word *const A = g->scratch, *const B = A + 2 * A_WORDS, *const strip = B + B_WORDS;
    real *const sums = g->Z ? g->Z : g->C;
    const int finish = !ends_in_tile(g), relu = !finish && g->activation == NN_ACTIVATION_relu;
    const nn_index nc = g->packed ? N : B_WORDS / (pieces * whole_words(kc)) / PANEL * PANEL;
    const nn_index mc = share(share(M, share(M, BF16_MC)), BF16_ROWS) * BF16_ROWS;
    dot t = {.ldc = g->Z ? g->ldz : g->ldc, .ldkept = g->ldkept, .a_piece = A_WORDS};
    vf zeros = {0};

    dot_begin();
    for (nn_index jc = 0; jc < N; jc += nc) { /* cuts N, so that packed B fits its buffer */
        const nn_index cols = least(nc, N - jc);
        for (nn_index kb = 0; kb < K; kb += kc) { /* cuts K, in the order of the sums */
            const nn_index depth = least(kc, K - kb);
            t.K = whole_words(depth);
            t.add = kb > 0;
            const int last = kb + depth == K;
            t.relu = relu && last && !g->kept;
            t.zeros = !finish && last && g->nonfinite ? &zeros : NULL;
            t.lda = t.K + 16;
            t.b_piece = g->packed ? whole_words(K) * PANEL : t.K * PANEL;
            const word *panel = B;
            if (g->packed)
                panel = (const word *)g->packed + (g->column + jc) / PANEL * pieces * t.b_piece + kb / 2 * PANEL;
            else
                pair_panels(depth, cols, (const real *)g->B + kb * g->b_row + jc * g->b_col, ldb, b_transposed, pieces,
                            strip, B, t.b_piece);

            for (nn_index ic = 0; ic < M; ic += mc) { /* cuts M, so that packed A does */
                const nn_index rows = least(mc, M - ic);
                const nn_index height = share(share(rows, share(rows, BF16_ROWS)), BF16_GRAIN) * BF16_GRAIN;
                for (int p = 0; p < pieces; p++)
                    pair_A(rows, depth, (const real *)g->A + ic * g->a_row + kb * g->a_col, lda, a_transposed, p, pieces,
                           strip, A + p * A_WORDS, t.lda);
                for (nn_index j = 0; j < cols; j += PANEL) {
                    t.n = least(PANEL, cols - j);
                    t.B = panel + j / PANEL * pieces * t.b_piece;
                    t.bias = kb == 0 && g->bias ? (const real *)g->bias + jc + j : NULL;
                    for (nn_index i = 0; i < rows; i += height) {
                        t.rows = least(height, rows - i);
                        t.A = A + i * t.lda;
                        t.C = sums + (ic + i) * t.ldc + jc + j;
                        t.kept = relu && last && g->kept ? (const real *)g->kept + (ic + i) * g->ldkept + jc + j : NULL;
                        dot_block(&t, pieces);
                    }
                    if (finish && last) finish_sums(g, ic, jc + j, rows, t.n);
                }
            }
        }
    }
    dot_end();
    if (g->nonfinite && across_sum(zeros)[0] != 0) *g->nonfinite = 1;
}

static void gemm_medium(const nn_gemm *g) { multiply_pieces(g, 1); }
#define GEMM_MEDIUM gemm_medium
#define ARITHMETIC_MEDIUM "bfloat16"
#define MR_MEDIUM BF16_ROWS

#ifdef BF16_SPLITS
static void gemm_high(const nn_gemm *g) { multiply_pieces(g, 2); }
#define GEMM_HIGH gemm_high
#define ARITHMETIC_HIGH "split bfloat16"
#define MR_HIGH BF16_ROWS
#endif

/* Pieces that a precision's products take weights as; 0: they read the weights themselves. */
INLINE int pieces_of(int precision) {
#ifdef BF16_SPLITS
    if (precision == NN_PRECISION_high) return 2;
#endif
    return precision == NN_PRECISION_medium;
}

/* Below these sizes packing costs more than the sums save. */
static int precision_for(int precision, nn_index K, nn_index N) {
    return pieces_of(precision) && K >= 32 && N >= 16 ? precision : NN_PRECISION_highest;
}

static size_t packed_bytes(int precision, int transposed, nn_index in, nn_index out) {
    const nn_index K = transposed ? out : in, N = transposed ? in : out;
    const nn_index pieces = pieces_of(precision_for(precision, K, N));
    return (size_t)(pieces * share(N, PANEL) * whole_words(K) * PANEL) * sizeof(word);
}

static void pack(int precision, int transposed, nn_index in, nn_index out, nn_index first, nn_index rows,
                 const void *W, void *packed, void *scratch) {
    const int pieces = pieces_of(precision);
    const nn_index step = whole_words(transposed ? out : in) * PANEL; /* of one piece of a panel */
    word *const y = (word *)packed + (transposed ? first / PANEL * pieces * step : first / 2 * PANEL);
    pair_panels(transposed ? out : rows, transposed ? rows : out, (const real *)W + first * out, out, transposed, pieces,
                scratch, y, step);
}
#define PACK pack
