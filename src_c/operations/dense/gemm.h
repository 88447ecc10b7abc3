/* gemm.h: C (M,N) = f( a( bias + A (M,K) B (K,N) ) ), the products of dense layers, on one thread.
 *
 * Five loops around the micro-kernel of tile.h, after Van Zee and van de Geijn, "BLIS: A Framework for Rapidly
 * Instantiating BLAS Functionality", ACM TOMS 41 (2015). A and B are read in place unless a packed copy pays.
 * The activation, or its derivative, is applied to a part of C as soon as its sums are complete, while it is in cache.
 *
 * Order: K is cut into blocks of block_k(K). An element is the sum, in order, of one chain of multiply-adds per
 * block, k ascending; the first chain starts at the bias, the others at 0. No choice made below changes that, but two,
 * by the sizes alone: where A = X and the whole product has at most DOT_COLUMNS columns, an element is the bias plus,
 * in order, the dot products (dot.h) of blocks of DOT_K; and where `add` says to add to C, the first chain starts there
 * if C is computed as rows of Cᵀ. A row has the same bits in any batch.
 */
#include "operations/affine.h"
#include "operations/dense/tile.h"
#include "operations/dense/pack.h"
#include "operations/dense/dot.h"

/* Block sizes in reals. A micro-panel of B, KC × NR, may fill L1 and more: a row of it lasts long enough for L2 to
 * deliver the next, and the larger it is, the less often C is read and written. Measured: bench/NOTES.md */
#define KC ((nn_index)(VECTOR_BYTES >= 32 ? 2048 : 1024) / (nn_index)sizeof(real))
#define MC ((nn_index)126) /* a multiple of every MR */
/* Where B stays in L2 but not in L1, few rows of A at a time: these stay in L1, and C is written along them. It
 * loses where B comes from L3. Measured: bench/NOTES.md */
#define MC_FAR (VECTOR_BYTES >= 32 ? 2 * MR : MC)
#define B_NEAR (1 << 15) /* bytes */
#define B_FAR (1 << 20)
#define NC (B_FAR / (KC * (nn_index)sizeof(real)) / NR * NR)
_Static_assert(MC % MR == 0, "panels of A fill its packed block");

#define B_PACKED (KC * NC)
#define A_PACKED (MC * (KC + LANES))
#define NARROW ((nn_index)12) /* columns of C, at most, that may be computed as rows of Cᵀ */
#define NARROW_ROWS ((nn_index)128) /* of C at a time */
#define NARROW_C (NARROW_ROWS * ((NARROW + LANES - 1) / LANES * LANES) + LANES) /* read in whole vectors */
#define DOT_K ((nn_index)16384) /* of columns at a time */
_Static_assert(DOT_COLUMNS * DOT_K <= B_PACKED, "contiguous columns take the place of packed B");
#define GEMM_SCRATCH ((size_t)(B_PACKED + A_PACKED + NARROW_C) * sizeof(real))

/* When a packed copy pays: at these strides in bytes, if at least so many rows or columns use it again. The rows
 * for avx512 are those of Sapphire Rapids, where a tile takes 14 cycles per k; on Zen 4, where it takes 28, lines come
 * from L2 in time wherever they lie, and only more than 192 rows were seen to repay a copy. It pays sooner where
 * vectors of B cross lines, as in NumPy's arrays, and where rows of B share few sets of L1. Measured: bench/NOTES.md */
#if VECTOR_BYTES == 64
#define PACK_A_STRIDE 2048 /* of Xᵀ */
#define PACK_A_COLUMNS (8 * NR)
#else
#define PACK_A_STRIDE 1024 /* of Xᵀ */
#define PACK_A_COLUMNS (4 * NR)
#endif
INLINE int copy_of_B_pays(const real *B, nn_index stride, nn_index rows) {
    if (VECTOR_BYTES < 64) return stride >= 1024 && rows >= (stride % 1024 ? 64 : 16);
    if (stride % 64) return stride >= 2688 && rows >= 64;
    return stride >= ((uintptr_t)B % 64 ? 1024 : 3072) && rows >= 96;
}
#define FINISH_BYTES 16384 /* half of L1 */

/* B = Wᵀ for so few rows of X that a packed copy would be used once: transposed in registers. More rows of X and
 * those of W displace each other from L1; the rows that multiply_narrow makes of columns never do that. Measured:
 * bench/NOTES.md */
#define BY_ROWS_M (VECTOR_BYTES == 64 ? 8 : LANES / 2)

/* Where K is short, writing C is the work; it goes faster along a few rows than down many; with avx2 only
 * where these are short. Not of packed Wᵀ, whose columns come tile by tile anyway. Measured: bench/NOTES.md */
#define SHORT_K 8
#define SHORT_K_ROWS 3
#define SHORT_K_COLUMNS (VECTOR_BYTES == 64 ? PTRDIFF_MAX : 128)

typedef void (*activate_kernel)(nn_index, nn_index, const void *, nn_index, void *, nn_index, const double *);
typedef void (*activate_backward_kernel)(nn_index, nn_index, const void *, nn_index, const void *, nn_index, void *,
                                         nn_index, const double *);
static const activate_kernel gemm_activate[] = {
#define ACTIVATION(name, saved, parameters) activate_##name,
#include "kernels.def"
};
static const activate_backward_kernel gemm_activate_backward[] = {
#define ACTIVATION(name, saved, parameters) activate_backward_##name,
#include "kernels.def"
};

INLINE nn_index least(nn_index a, nn_index b) { return a < b ? a : b; }
INLINE nn_index ceil_div(nn_index n, nn_index parts) { return (n + parts - 1) / parts; }

/* The depth of the blocks of K: at most KC, as even as multiples of 16 can be. */
INLINE nn_index block_k(nn_index K) {
    return K <= KC ? K : ceil_div(ceil_div(K, ceil_div(K, KC)), 16) * 16;
}

/* The same of windows, in whole segments. */
INLINE nn_index whole_segments(nn_index segment) { return segment * (segment < KC ? KC / segment : 1); }

/* Whether the tiles leave C as it is to be. */
INLINE int ends_in_tile(const nn_gemm *g) {
    return !g->Z && (g->activation == NN_ACTIVATION_relu || g->activation == NN_ACTIVATION_linear);
}

/* Otherwise: what follows the sums of rows × cols elements at (i,j), which lie in Z, or else in C. */
static void finish_sums(const nn_gemm *g, nn_index i, nn_index j, nn_index rows, nn_index cols) {
    real *C = (real *)g->C + i * g->ldc + j;
    if (g->saved)
        gemm_activate_backward[g->activation](rows, cols, (const real *)g->saved + i * g->ldsaved + j, g->ldsaved,
                                              C, g->ldc, C, g->ldc, g->parameters);
    else if (g->Z)
        gemm_activate[g->activation](rows, cols, (const real *)g->Z + i * g->ldz + j, g->ldz, C, g->ldc, g->parameters);
    else if (g->activation != NN_ACTIVATION_linear)
        gemm_activate[g->activation](rows, cols, C, g->ldc, C, g->ldc, g->parameters);
    if (g->nonfinite && any_nonfinite(rows, cols, C, g->ldc)) nn_set_flag(g->nonfinite);
}

/* Of sums that tiles have not seen as rows: what comes before that, to whole rows. */
static void affine_sums(const nn_gemm *g, nn_index i, nn_index rows) {
    const affine a = affine_at(g->affine, g->ldaffine);
    const nn_index ld = g->Z ? g->ldz : g->ldc;
    real *const sums = (real *)(g->Z ? g->Z : g->C) + i * ld;
    affine_columns(0, rows, g->N, &a, sums, ld, sums, ld);
}

/* What the loops over blocks have in common, chosen once for a product. */
typedef struct choices {
    const nn_gemm *g;
    int a_transposed, by_rows, pack_a, pack_b;
    int finish, relu;  /* what follows the sums, if the tiles do not do it; or if they do */
    real *sums;        /* Z or C */
    nn_index height;   /* of tiles, at most */
    nn_index a_step, b_step; /* between rows of A; columns j … j + NR of B start at B + j b_step */
    nn_index groups;   /* of rows of A */
} choices;

/* Rows i … i + rows of columns j0 … j0 + cols, of one block of K. */
static void multiply_block(const choices *c, tile *t, nn_index i, nn_index rows, nn_index j0, nn_index cols,
                           const real *A, const real *B, int first, int last) {
    const nn_gemm *g = c->g;
    const unsigned height = (unsigned)c->height, in_group = (unsigned)(c->groups == 1 ? rows : rows / c->groups);
    const unsigned panels = (in_group + height - 1) / height;
    const unsigned m0 = in_group / panels, longer = in_group % panels; /* of m0 + 1 rows, first */
    const int columns_packed = c->pack_a && c->a_transposed; /* each panel's A apart */
    nn_index a_step = c->a_step;
    if (c->pack_a && c->a_transposed) {
        const real *x = A;
        for (unsigned p = 0; p < panels; x += m0 + (p < longer), p++)
            copy_block(t->K, m0 + (p < longer), x, t->lda, (real *)g->scratch + B_PACKED + p * t->K * MR, MR);
        t->lda = MR;
    } else if (c->pack_a) {
        copy_block(rows, t->K, A, t->lda, (real *)g->scratch + B_PACKED, KC + LANES);
        t->lda = a_step = KC + LANES;
    }
    if (c->pack_a) A = (real *)g->scratch + B_PACKED;

    const real *const saved = c->relu && last ? g->saved : NULL;
    nn_index done = 0, n;
    for (nn_index j = 0; j < cols; j += n) { /* LOOP 2 cuts columns to the width of a tile */
        const int width = c->by_rows && !c->pack_b ? BY_ROWS : tile_width(least(c->height, rows), cols - j, c->pack_b);
        const tile_kernel *kernels = tile_kernels[c->a_transposed][width];
        t->n = n = least(cols - j, tile_columns(width));
        t->B = B + j * c->b_step;
        for (nn_index group = 0; group < c->groups; group++) {
            const nn_index row = i + group * in_group;
            t->bias = first && g->bias ? (const real *)g->bias + row * t->ldbias + j0 + j : NULL;
            t->affine = last && g->affine ? (const real *)g->affine + j0 + j : NULL;
            t->C = c->sums + row * t->ldc + j0 + j;
            t->saved = saved ? saved + row * t->ldsaved + j0 + j : NULL;
            t->A = A + group * g->a_group;
            for (unsigned p = 0;;) { /* LOOP 1 cuts rows to the height of a tile */
                const nn_index m = m0 + (p < longer);
                if (g->ahead && m >= FETCHING_ROWS(c->a_transposed))
                    t->ahead = nn_take_ahead(g->ahead, t->K * t->segments, FETCHED_BYTES, t->A);
                kernels[m - 1](t);
                if (++p == panels) break;
                t->A += columns_packed ? t->K * MR : m * a_step;
                t->C += m * t->ldc;
                if (t->bias) t->bias += m * t->ldbias;
                if (t->saved) t->saved += m * t->ldsaved;
            }
        }
        if (c->finish && last && (j + n == cols || rows * (j + n - done) * (nn_index)sizeof(real) >= FINISH_BYTES)) {
            finish_sums(g, i, j0 + done, rows, j + n - done);
            done = j + n;
        }
    }
}

/* Row i of the product starts at bias + i ldbias. */
static void multiply_blocks(const nn_gemm *g, nn_index ldbias) {
    const nn_index M = g->M, N = g->N, K = g->K, size = sizeof(real);
    const int a_transposed = g->a_col != 1, b_transposed = g->b_col != 1 && N > 1; /* A = Xᵀ, B = Wᵀ */
    const nn_index lda = a_transposed ? g->a_col : g->a_row, ldb = b_transposed ? g->b_col : g->b_row;
    assert(a_transposed ? g->a_row == 1 : 1);
    assert(b_transposed ? g->b_row == 1 : 1);

    /* Rows whose addresses agree modulo 4096 share one set of L1, which holds 8 */
    const int a_conflicts = MR > 8 && (lda * size + 8) % 4096 <= 16;
    const int finish = !ends_in_tile(g);
    const nn_index segment = g->segments ? K / g->segments : K;
    const nn_index kc = g->segments ? whole_segments(segment) : block_k(K);
    choices c = {
        .g = g, .a_transposed = a_transposed,
        .by_rows = b_transposed && M <= (a_transposed ? MR : BY_ROWS_M) && K >= BLOCK && /* in whole vectors */
                   (VECTOR_BYTES == 64 || ldb * size % 4096), /* as above */
        .pack_a = !g->segments && N >= PACK_A_COLUMNS && (a_transposed ? lda * size >= PACK_A_STRIDE : a_conflicts),
        .pack_b = b_transposed || (kc <= KC && copy_of_B_pays(g->B, ldb * size, M)),
        .finish = finish, .relu = !finish && g->activation == NN_ACTIVATION_relu,
        .sums = g->Z ? g->Z : g->C,
        .height = !b_transposed && K <= SHORT_K && N >= 4 * LANES && N <= SHORT_K_COLUMNS ? SHORT_K_ROWS : MR,
        .a_step = a_transposed ? 1 : lda, .groups = g->segments && g->group ? M / g->group : 1,
    };
    real *const B_packed = g->scratch;
    nn_index mc = M;
    if (c.groups == 1 && (M > 2 * MC_FAR || M > MC)) {
        const nn_index b_bytes = kc * (c.pack_b ? least(NC, N) : N) * size; /* of B for a block of K */
        const nn_index most = M > 2 * MC_FAR && B_NEAR < b_bytes && b_bytes <= B_FAR ? MC_FAR : MC;
        mc = ceil_div(ceil_div(M, ceil_div(M, most)), MR) * MR;
    }
    tile t = {.ldc = g->Z ? g->ldz : g->ldc, .ldbias = ldbias, .ldaffine = g->ldaffine,
              .ldsaved = g->ldsaved, .ahead = {g->B, 0}};
    vf zeros = {0};

    nn_index cols;
    for (nn_index jc = 0; jc < N; jc += cols) { /* LOOP 5 cuts N, so that packed B fits its buffer */
        if (c.by_rows) c.pack_b = N - jc < BY_ROWS_COLUMNS;
        cols = c.pack_b ? least(NC, N - jc) : c.by_rows ? (N - jc) / BY_ROWS_COLUMNS * BY_ROWS_COLUMNS : N;
        nn_index kb = 0;
        do { /* LOOP 4 cuts K, in the order of the sums; once if K = 0 */
            const nn_index depth = least(kc, K - kb);
            t.K = least(segment, depth);
            t.segments = g->segments ? depth / segment : 1;
            const nn_index *const offsets = g->segments ? g->offsets + kb / segment : NULL;
            t.offsets = g->group ? offsets : NULL, t.offsets_of_b = g->group ? NULL : offsets;
            t.add = kb > 0 || g->add;
            const int last = kb + depth == K;
            t.relu = c.relu && last && !g->saved;
            t.zeros = !finish && last && g->nonfinite ? &zeros : NULL;
            const real *B = (const real *)g->B + (t.offsets_of_b ? *offsets : kb * g->b_row) + jc * g->b_col;
            if (c.pack_b) pack_B(depth, cols, B, ldb, b_transposed, B_packed), B = B_packed;
            t.ldb = c.pack_b ? NR : ldb;
            c.b_step = c.pack_b ? depth : g->b_col;
            for (nn_index ic = 0; ic < M; ic += mc) { /* LOOP 3 cuts M, so that A stays in L2 */
                const real *A = (const real *)g->A + ic * g->a_row + (t.offsets ? 0 : kb * g->a_col);
                t.lda = lda;
                multiply_block(&c, &t, ic, least(mc, M - ic), jc, cols, A, B, kb == 0, last);
            }
            kb += depth;
        } while (kb < K);
    }
    if (g->nonfinite && any_lane(zeros != 0)) nn_set_flag(g->nonfinite);
}

/* Rows of C from i on, by Cᵀ = Bᵀ Aᵀ, the same multiply-adds, with rows of C in the lanes. They are so many
 * `lines` of `line` rows, between which A has `gap` rows more that are computed with them: NARROW_ROWS in all, at
 * most. */
INLINE void multiply_lines(const nn_gemm *g, const real *A, nn_index i, nn_index lines, nn_index line, nn_index gap) {
    real *const sums = (real *)(g->Z ? g->Z : g->C);
    const nn_index ldsums = g->Z ? g->ldz : g->ldc, rows = lines * line, columns = rows + (lines - 1) * gap;
    const int in_tile = ends_in_tile(g) && !g->saved && !g->affine && (lines == 1 || !g->nonfinite);
    const int in_place = ldsums == 1 && lines == 1; /* a column is its own transpose */
    real *const Ct = in_place ? sums + i : (real *)g->scratch + B_PACKED + A_PACKED; /* (N,columns) */
    for (nn_index j = 0; g->bias && j < g->N; j++)
        for (nn_index r = 0; r < columns; r += LANES)
            store_some(Ct + j * NARROW_ROWS + r, columns - r, vset(((const real *)g->bias)[j]));
    for (nn_index j = 0; g->add && !in_place && j < g->N; j++)
        for (nn_index l = 0; l < lines; l++)
            for (nn_index r = 0; r < line; r++)
                Ct[j * NARROW_ROWS + l * (line + gap) + r] = sums[(i + l * line + r) * ldsums + j];
    const nn_gemm transposed = {
        .M = g->N, .N = columns, .K = g->K,
        .A = g->B, .a_row = g->b_col, .a_col = g->b_row,
        .B = A, .b_row = g->a_col, .b_col = g->a_row, .segments = g->segments, .offsets = g->offsets,
        .C = Ct, .ldc = NARROW_ROWS, .bias = g->bias || g->add ? Ct : NULL,
        .activation = in_tile ? g->activation : NN_ACTIVATION_linear, .nonfinite = in_tile ? g->nonfinite : NULL,
        .scratch = g->scratch,
    };
    multiply_blocks(&transposed, NARROW_ROWS);
    for (nn_index l = 0; l < lines && !in_place; l++)
        join_columns(g->N, line, Ct + l * (line + gap), NARROW_ROWS, sums + (i + l * line) * ldsums, ldsums);
    if (g->affine) affine_sums(g, i, rows);
    if (!in_tile) finish_sums(g, i, 0, rows, g->N);
}

/* Where N ≤ NARROW columns leave lanes idle */
static void multiply_narrow(const nn_gemm *g) {
    for (nn_index i = 0; i < g->M; i += NARROW_ROWS)
        multiply_lines(g, (const real *)g->A + i * g->a_row, i, 1, least(NARROW_ROWS, g->M - i), 0);
}

/* The same of windows: several lines of them at a time, or a part of one */
static void multiply_narrow_windows(const nn_gemm *g) {
    const nn_index line = g->group, gap = g->M > line ? g->a_group - line : 0;
    const nn_index together = gap <= LANES ? NARROW_ROWS / (line + gap) : 0; /* lines; 0: parts of one */
    const nn_index part = together ? line : NARROW_ROWS;
    const real *A = g->A;
    for (nn_index i = 0, lines; i < g->M; i += lines * line, A += lines * g->a_group) {
        lines = together ? least(together, (g->M - i) / line) : 1;
        for (nn_index r = 0; r < line; r += part)
            multiply_lines(g, A + r, i + r, lines, least(part, line - r), gap);
    }
}

/* N ≤ DOT_COLUMNS: rows of A meet columns of B, which are made contiguous. */
static void multiply_rows(const nn_gemm *g) {
    assert(!g->add);
    real *const sums = g->Z ? g->Z : g->C, *const columns = g->scratch;
    const nn_index ldsums = g->Z ? g->ldz : g->ldc, in_place = g->b_row == 1;
    const nn_index rows = g->N == 1 && ldsums > 1 ? 1 : g->M; /* as the kernel wants it */
    for (nn_index kb = 0; kb == 0 || kb < g->K; kb += DOT_K) {
        const nn_index K = least(DOT_K, g->K - kb);
        const real *B = (const real *)g->B + kb * g->b_row;
        if (!in_place) {
            nn_index k = 0;
            for (; g->N == 2 && g->b_row == 2 && k + LANES <= K; k += LANES) {
                vf first, second;
                split_pairs(B + 2 * k, &first, &second);
                vstore(columns + k, first);
                vstore(columns + DOT_K + k, second);
            }
            for (; k < K; k++)
                for (nn_index j = 0; j < g->N; j++) columns[j * DOT_K + k] = B[k * g->b_row + j * g->b_col];
            B = columns;
        }
        for (nn_index i = 0; i < g->M; i += rows)
            dot_kernels[g->N - 1](rows, K, (const real *)g->A + i * g->a_row + kb, g->a_row, B,
                                  in_place ? g->b_col : DOT_K, sums + i * ldsums, ldsums,
                                  kb ? sums + i * ldsums : g->bias, kb ? ldsums : 0);
    }
    if (g->affine) affine_sums(g, 0, g->M);
    finish_sums(g, 0, 0, g->M, g->N);
}

/* Transposing X costs as much as about 4 multiply-adds per vector; Xᵀ is read as it lies. Measured:
 * bench/NOTES.md */
INLINE int suits_narrow(const nn_gemm *g, nn_index columns) {
    const int transposed = g->a_col != 1;
    const nn_index idle = ceil_div(columns, LANES) * LANES - columns; /* lanes */
    return columns <= NARROW && idle >= (transposed ? LANES > 4 ? LANES / 4 : 1 : 4) &&
           g->M >= (transposed ? LANES : 2 * LANES) && g->K >= 8 * columns;
}

/* The same of windows, whose neighbours' elements are neighbours: Aᵀ is read as it lies, but C is transposed. */
INLINE int suits_narrow_windows(const nn_gemm *g) {
    const nn_index idle = ceil_div(g->N, LANES) * LANES - g->N; /* lanes */
    return g->N <= NARROW && idle >= (LANES > 4 ? LANES / 4 : 1) && g->a_row == 1 && g->a_col == 1 &&
           g->group >= LANES && g->K >= 2 * g->N;
}

/* Columns j … j + n of a product */
INLINE nn_gemm columns_of(const nn_gemm *g, nn_index j, nn_index n) {
    nn_gemm part = *g;
    part.N = n;
    part.B = (const real *)g->B + j * g->b_col;
    part.C = (real *)g->C + j;
    if (g->bias) part.bias = (const real *)g->bias + j;
    if (g->affine) part.affine = (const real *)g->affine + j;
    if (g->Z) part.Z = (real *)g->Z + j;
    if (g->saved) part.saved = (const real *)g->saved + j;
    return part;
}

/* The product as far as it begins with row i of C and of what goes with that */
INLINE nn_gemm rows_of(const nn_gemm *g, nn_index i) {
    nn_gemm part = *g;
    part.C = (real *)g->C + i * g->ldc;
    if (g->Z) part.Z = (real *)g->Z + i * g->ldz;
    if (g->saved) part.saved = (const real *)g->saved + i * g->ldsaved;
    return part;
}

static void gemm(const nn_gemm *g) {
    if (g->M <= 0 || g->N <= 0) return;
    const nn_index ragged = g->N % LANES, whole = g->N - ragged; /* of columns */
    if (g->segments && suits_narrow_windows(g))
        multiply_narrow_windows(g);
    else if (g->segments)
        multiply_blocks(g, 0);
    else if (g->N <= DOT_COLUMNS && g->a_col == 1 && !g->part && !g->add)
        multiply_rows(g);
    else if (suits_narrow(g, g->N))
        multiply_narrow(g);
    else if (ragged && whole && suits_narrow(g, ragged)) {
        const nn_gemm left = columns_of(g, 0, whole), right = columns_of(g, whole, ragged);
        multiply_blocks(&left, 0);
        multiply_narrow(&right);
    } else
        multiply_blocks(g, 0);
}
