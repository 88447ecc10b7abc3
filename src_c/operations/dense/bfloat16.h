/* bfloat16.h: C (M,N) = f( bias + A (M,K) B (K,N) ) from operands cut to bfloat16, summed in float32, on one thread.
 *
 * An operand is taken as the sum of `pieces` bfloat16: one, its value rounded to 8 bits; or two, hi and the rest
 * rounded, 16 bits in all. The kernel adds up lo hi, hi hi and hi lo; lo lo is below the error of the others. Two k
 * share a word, as the instructions want them:
 *   A  (M, K/2)   rows of words         B  panels of PANEL columns, each (pieces, K/2, PANEL), one after the other
 * K is padded with zeros to a multiple of 32. Both are packed block by block; B may have been packed whole by `pack`.
 * A may be words already, windows of images in segments (nn_gemm, `a_piece`), of K ≤ WORDS_K.
 *
 * Order: K is cut into blocks of depth_of_blocks(K). An element is bias + the blocks' sums, in order, each one chain
 * of the dot kernel from 0. M, and the blocks given to threads, change nothing of that.
 * Loops 5 and 4 of gemm.h stand here, the others in the file of the dot kernel, as its macro-kernel.
 * Splitting: Henry, Tang, Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
 * Computations", ARITH 2019.
 */
#include "operations/dense/bfloat16_pack.h"

#define BF16_KC ((nn_index)1024)
#define WORDS_K BF16_KC
#define ROW_WORDS (BF16_KC / 2 + 16) /* of packed A; not a multiple of 2048 bytes, or rows share sets of L1 */
#define A_WORDS (BF16_MC * ROW_WORDS) /* of all pieces */

/* Of A at a time: two pieces of half as many rows share L2 better. */
#define ROWS_OF_BLOCK(pieces) (BF16_MC / (pieces))

typedef struct dot { /* sums over K words of pairs, of rows ≤ BF16_ROWS, n ≤ PANEL columns of C (more in dot_row) */
    nn_index i, j; /* of the first of them; from the first column of a slab on */
    nn_index rows, n, K;
    nn_index segments; /* of K words each, one after another in B, and */
    const nn_index *offsets; /* where they begin in A; NULL: there is one */
    const word *A, *B; /* piece 0; the others lie a_piece, b_piece words further on */
    nn_index lda, a_piece, b_piece;
} dot;

typedef struct ending { /* C = f( [C +] bias + sums ), of the columns of a slab */
    real *C;
    nn_index ldc;
    const real *bias; /* a number for each column, or NULL */
    const real *affine; /* as in tile.h */
    nn_index ldaffine;
    int add, relu; /* f, as in tile.h: ReLU; its derivative, of saved elements; or a look for inf and nan */
    const real *saved;
    nn_index ldsaved;
    vf *zeros;
} ending;

/* m rows from (i,j) on = f of sums, nv vectors each, of n columns. Over tiles in registers, for a pass over C is dear
 * where K is short. */
INLINE void finish_rows(const int m, const int nv, vf (*c)[2], const ending *e, nn_index i, nn_index j, nn_index n) {
    const vmask last = mask_first(n - (nv - 1) * LANES), whole = mask_first(LANES);
    const vmask mask[2] = {nv == 1 ? last : whole, last};
    const nn_index ldc = e->ldc, ldsaved = e->ldsaved;
    real *const C = e->C + i * ldc + j;
#define EACH_SUM                                             \
    _Pragma("GCC unroll 12") for (int r = 0; r < m; r++) \
        _Pragma("GCC unroll 2") for (int v = 0; v < nv; v++)
    if (e->bias) EACH_SUM c[r][v] += load_mask(e->bias + j + v * LANES, mask[v]);
    if (e->add) EACH_SUM c[r][v] += load_mask(C + r * ldc + v * LANES, mask[v]);
    if (e->affine)
        _Pragma("GCC unroll 2") for (int v = 0; v < nv; v++) {
            const real *const a = e->affine + j + v * LANES;
            const vf mean = load_mask(a, mask[v]), factor = load_mask(a + e->ldaffine, mask[v]);
            const vf offset = load_mask(a + 2 * e->ldaffine, mask[v]);
            _Pragma("GCC unroll 12") for (int r = 0; r < m; r++) c[r][v] = (c[r][v] - mean) * factor + offset;
        }
    if (e->relu) EACH_SUM c[r][v] = f_relu(c[r][v], NULL);
    if (e->saved) {
        const real *const saved = e->saved + i * ldsaved + j;
        EACH_SUM c[r][v] *= derivative_relu(load_mask(saved + r * ldsaved + v * LANES, mask[v]), NULL);
    }
    if (e->zeros) {
        vf sum[4] = {*e->zeros};
        EACH_SUM sum[(r * nv + v) % 4] += c[r][v] * (real)0;
        *e->zeros = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
    EACH_SUM store_mask(C + r * ldc + v * LANES, mask[v], c[r][v]);
#undef EACH_SUM
}

/* Columns jc … jc + cols of a product, from one block of K: what the macro-kernel computes. */
typedef struct slab {
    const nn_gemm *g;
    nn_index jc, cols, kb, depth;
    int finish;        /* C needs what `ending` does not say: finish_sums */
    const word *B;     /* the panel at jc, packed by others, or NULL */
    nn_index b_piece;  /* between the pieces of a panel */
    word *scratch;
    dot t;             /* what all tiles have in common; written in place, as copies of what was just written wait */
    ending end;
} slab;

INLINE packing rows_of_A(const slab *s, nn_index i, nn_index rows, word *y) {
    const nn_gemm *g = s->g;
    const int across = g->a_col != 1;
    return (packing){.x = (const real *)g->A + i * g->a_row + s->kb * g->a_col, .ld = across ? g->a_col : g->a_row,
                     .n = rows, .K = s->depth, .across = across, .y = y, .ldy = s->t.lda, .piece = s->t.a_piece};
}

/* What all tiles have in common where A is windows in words; K is one block then. */
INLINE dot windows_of(const slab *s) {
    dot t = s->t;
    t.segments = s->g->segments, t.offsets = s->g->offsets, t.K = s->depth / t.segments / 2;
    t.lda = s->g->a_row, t.a_piece = s->g->a_piece;
    return t;
}

INLINE packing panel_of_B(const slab *s, nn_index j, word *y) {
    const nn_gemm *g = s->g;
    const int across = g->b_col == 1;
    return (packing){.x = (const real *)g->B + s->kb * g->b_row + (s->jc + j) * g->b_col,
                     .ld = across ? g->b_row : g->b_col,
                     .n = least(PANEL, s->cols - j), .K = s->depth, .across = across, .panel = 1,
                     .y = y, .ldy = PANEL, .piece = s->b_piece};
}

/* The same where it is packed, to be fetched. */
INLINE packing fetched_panel(const slab *s, nn_index j, const word *y) {
    packing p = panel_of_B(s, j, (word *)y);
    p.x = NULL, p.across = 1;
    return p;
}

/* All panels of B, `step` words apart, where others have not packed them */
INLINE void pack_panels(const slab *s, word *packed, nn_index step, const int pieces) {
    for (nn_index j = 0; j < s->cols && !s->B; j += PANEL) {
        packing p = panel_of_B(s, j, packed + j / PANEL * step);
        pack_rest(&p, pieces);
    }
}

#include BF16_KERNEL
_Static_assert(BF16_MC % (2 * BF16_ROWS) == 0 && BF16_MC % LANES == 0, "blocks of A are whole tiles and vectors");
#define BF16_SCRATCH ((size_t)(A_WORDS + B_WORDS + MORE_WORDS) * sizeof(word))
#define SCRATCH_BYTES (GEMM_SCRATCH > BF16_SCRATCH ? GEMM_SCRATCH : BF16_SCRATCH)

INLINE nn_index depth_of_blocks(nn_index K) { return ceil_div(ceil_div(K, ceil_div(K, BF16_KC)), STEP) * STEP; }

INLINE void multiply_pieces(const nn_gemm *g, const int pieces) {
    if (g->M == 0 || g->K == 0) {
        gemm(g);
        return;
    }
    const nn_index N = g->N, K = g->K, kc = depth_of_blocks(K);
    const nn_index fits = B_WORDS / (pieces * whole_words(kc)) / PANEL * PANEL;
    const nn_index nc = g->packed || (packs_in_turn(g, pieces) && !g->a_piece) ? N : fits;
    const int finish = !ends_in_tile(g), relu = !finish && g->activation == NN_ACTIVATION_relu;
    vf zeros = {0};
    const ending end = {.ldc = g->Z ? g->ldz : g->ldc, .ldaffine = g->ldaffine, .ldsaved = g->ldsaved};
    slab s = {.g = g, .scratch = g->scratch, .t = {.segments = 1, .a_piece = A_WORDS / pieces}, .end = end};

    dot_begin(g);
    for (nn_index jc = 0; jc < N; jc += nc) /* LOOP 5 cuts N, so that packed B fits its buffer */
        for (nn_index kb = 0; kb < K; kb += kc) { /* LOOP 4 cuts K, in the order of the sums */
            const nn_index depth = least(kc, K - kb);
            const int last = kb + depth == K;
            s.jc = jc, s.cols = least(nc, N - jc), s.kb = kb, s.depth = depth;
            s.finish = finish && last;
            s.b_piece = whole_words(g->packed ? K : depth) * PANEL;
            const nn_index panel = (g->column + jc) / PANEL;
            s.B = g->packed ? (const word *)g->packed + panel * pieces * s.b_piece + kb / 2 * PANEL : NULL;
            s.t.K = whole_words(depth);
            s.t.lda = s.t.K + 16;
            s.t.b_piece = s.b_piece;
            s.end.C = (real *)(g->Z ? g->Z : g->C) + jc;
            s.end.bias = kb == 0 && g->bias ? (const real *)g->bias + jc : NULL;
            s.end.affine = last && g->affine ? (const real *)g->affine + jc : NULL;
            s.end.add = kb > 0 || g->add;
            s.end.relu = relu && last && !g->saved;
            s.end.saved = relu && last && g->saved ? (const real *)g->saved + jc : NULL;
            s.end.zeros = !finish && last && g->nonfinite ? &zeros : NULL;
            g->a_piece ? multiply_windows(&s, pieces) : multiply_slab(&s, pieces);
        }
    dot_end();
    if (g->nonfinite && any_lane(zeros != 0)) nn_set_flag(g->nonfinite);
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

static int precision_for(int precision, nn_index rows, nn_index K, nn_index N) {
    const int pieces = pieces_of(precision);
    return pieces && K >= STEP && N >= LANES && pays(pieces, rows, K, N) ? precision : NN_PRECISION_highest;
}

static size_t packed_bytes(int precision, int transposed, nn_index rows, nn_index in, nn_index out) {
    const nn_index K = transposed ? out : in, N = transposed ? in : out;
    const nn_index pieces = pieces_of(precision_for(precision, rows, K, N));
    return (size_t)(pieces * ceil_div(N, PANEL) * whole_words(K) * PANEL) * sizeof(word);
}

INLINE void pack_weights(int transposed, nn_index in, nn_index out, nn_index first, nn_index rows, const real *W,
                         word *packed, const int pieces) {
    const nn_index step = whole_words(transposed ? out : in) * PANEL; /* of one piece of a panel */
    word *y = packed + (transposed ? first / PANEL * pieces * step : first / 2 * PANEL);
    const nn_index K = transposed ? out : rows, N = transposed ? rows : out;
    for (nn_index j = 0; j < N; j += PANEL, y += pieces * step) {
        packing p = {.x = W + first * out + j * (transposed ? out : 1), .ld = out, .n = least(PANEL, N - j), .K = K,
                     .across = !transposed, .panel = 1, .y = y, .ldy = PANEL, .piece = step};
        pack_rest(&p, pieces);
    }
}

static void pack(int precision, int transposed, nn_index in, nn_index out, nn_index first, nn_index rows,
                 const void *W, void *packed) {
    if (pieces_of(precision) == 1)
        pack_weights(transposed, in, out, first, rows, W, packed, 1);
    else
        pack_weights(transposed, in, out, first, rows, W, packed, 2);
}
#define PACK pack
