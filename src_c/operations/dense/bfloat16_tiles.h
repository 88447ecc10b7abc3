/* bfloat16_tiles.h: the dot kernel of bfloat16.h in AMX tiles, 2 × 2 tiles of C, 32 × 32 reals, and its macro-kernel.
 *
 * Tiles 0-3 are C, 4 and 5 rows of A, 6 and 7 columns of B; rows of A beyond `rows` are whatever the buffer holds, and
 * end in rows of C that are not stored. Tiles know neither bias nor masks: C passes through a buffer in L1.
 *
 * A dot takes 16 cycles, a load 8 that it hides, and all else can go on meanwhile in small shares: each step of the
 * dots also packs some of what comes next, and finishes some rows of the block before. Done apart, both were a third to
 * a half of a product.
 *   rows outside     for each strip of 32 rows of A, for each panel of B: the strip stays in L1, B in L2 is streamed
 *   panels outside   for each panel of B, for each strip: the panel stays in L1, A in L2 is streamed
 * The latter where packed B is more than L2 keeps, or is not packed yet; B is streamed there, too, if it meets one
 * strip only. A block of K is cut where it is more than TILE_K, so that what stays fits L1; the tiles of C go on where
 * they ended. Measured: bench/NOTES.md
 */
#define BF16_ROWS ((nn_index)32)
#define BF16_MC ((nn_index)256)
#define BF16_SPLITS 1
#define B_WORDS ((nn_index)5 << 16) /* of all pieces: 1.25 MB, what L2 keeps while strips pass by */
#define TILE_SIDE ((nn_index)16)    /* rows of a tile, words of a row */
#define TILE_K ((nn_index)256)      /* words, of all pieces; a strip or panel: 32 KB */
#define C_REALS (BF16_ROWS * PANEL)
#define MORE_WORDS (B_WORDS / 8)    /* C_REALS for each panel deeper than TILE_K in B_WORDS, or strip of BF16_MC */
_Static_assert(MORE_WORDS >= B_WORDS / (PANEL * TILE_K) * C_REALS && MORE_WORDS >= BF16_MC * PANEL,
               "room for unfinished sums");

/* Whether a product is taken. Any number of rows, by packed weights: for one piece those of which one row is no slower
 * than in float32. Two pieces are as many bytes as float32; there one row pays for what more rows gain. Where both
 * operands are packed here: sizes at which also ragged ones are hardly slower. Measured: bench/NOTES.md */
INLINE int pays(int pieces, nn_index rows, nn_index K, nn_index N) {
    if (rows <= NN_WINDOWS && K % 2 == 0) return 1;
    if (rows < 0) return N >= 32 && K * N >= 4096 * pieces;
    if (rows == 0) return K >= 128 && N >= (pieces == 1 ? 16 : 48) && K * N >= 8192 * pieces;
    if (pieces == 1) return rows >= 16 && rows * K * N >= 1 << 18;
    return rows >= 64 && N >= 64 && (K >= 64 || K == STEP) && rows * K * N >= 3 << 19;
}

/* Rows in tiles of so many, as even as they can be */
INLINE nn_index even_rows(nn_index rows) { return ceil_div(rows, ceil_div(rows, TILE_SIDE)); }

/* Tiles of so many rows, as a dot takes as many cycles as its tile of A has rows. Where `rest` words of a segment are
 * left, they have tiles 5 and 7. */
INLINE void shape_tiles(nn_index rows, nn_index rest) {
    const uint8_t m = (uint8_t)rows, k = TILE_SIDE, k5 = rest ? (uint8_t)rest : k;
    const struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16]; /* of a row */
        uint8_t rows[16];
    } shapes = {1, 0, {0}, {64, 64, 64, 64, 64, (uint16_t)(4 * k5), 64, 64}, {m, m, m, m, m, m, k, k5}};
    tile_configure(&shapes);
}
INLINE void dot_begin(const nn_gemm *g) {
    if (g->a_piece)
        shape_tiles(even_rows(g->group), g->K / g->segments / 2 % TILE_SIDE);
    else
        shape_tiles(least(g->M, TILE_SIDE), 0);
}
#define dot_end() tile_release()

typedef struct block { /* sums of a block of C that are to be finished */
    nn_index i, j, rows, n, done;
    real sums[C_REALS] __attribute__((aligned(64)));
} block;

INLINE void block_is(block *b, const dot *t) { b->i = t->i, b->j = t->j, b->rows = t->rows, b->n = t->n, b->done = 0; }

typedef struct chores { /* what goes on between the dots */
    const slab *s;
    packing next; /* blocks of it are packed in so many steps */
    nn_index blocks, steps, due;
    block *before;
} chores;

#define ROWS_TOGETHER ((nn_index)4) /* finished at a time */

INLINE void finish_some(const int m, const slab *s, block *b) {
    const nn_index i = b->i + b->done;
    const real *const sums = b->sums + b->done * PANEL;
    vf c[ROWS_TOGETHER][2];
#pragma GCC unroll 4
    for (int r = 0; r < m; r++) {
        c[r][0] = vload(sums + r * PANEL);
        c[r][1] = vload(sums + r * PANEL + LANES);
    }
    if (b->n > LANES)
        finish_rows(m, 2, c, &s->end, i, b->j, b->n);
    else
        finish_rows(m, 1, c, &s->end, i, b->j, b->n);
    b->done += m;
    if (s->finish && b->done == b->rows) finish_sums(s->g, b->i, s->jc + b->j, b->rows, b->n);
}

/* The four dots of a step, of rows from A and from A1 on, through two tiles for operands */
#define DOTS_OF(a, A, A1, b, B)               \
    do {                                      \
        LOAD_B(b, B);                         \
        LOAD_A(a, A);                         \
        tile_dot(0, a, b);                    \
        if (tall) {                           \
            LOAD_A(a, A1);                    \
            tile_dot(2, a, b);                \
        }                                     \
        if (wide) {                           \
            LOAD_B(b, (B) + TILE_SIDE);       \
            if (tall) {                       \
                tile_dot(3, a, b);            \
                LOAD_A(a, A);                 \
            }                                 \
            tile_dot(1, a, b);                \
        }                                     \
    } while (0)

/* The same of one piece or two, lo hi, hi hi, hi lo; each tile is loaded once: of two pieces eight for twelve dots */
#define DOTS_ONCE(A, A1, B)                                      \
    do {                                                         \
        LOAD_B(6, B);                                            \
        if (wide) LOAD_B(7, (B) + TILE_SIDE);                    \
        if (pieces == 2) {                                       \
            LOAD_A(4, (A) + t->a_piece);                         \
            if (tall) LOAD_A(5, (A1) + t->a_piece);              \
            FOUR_DOTS();                                         \
        }                                                        \
        LOAD_A(4, A);                                            \
        if (tall) LOAD_A(5, A1);                                 \
        FOUR_DOTS();                                             \
        if (pieces == 2) {                                       \
            LOAD_B(6, (B) + t->b_piece);                         \
            if (wide) LOAD_B(7, (B) + t->b_piece + TILE_SIDE);   \
            FOUR_DOTS();                                         \
        }                                                        \
    } while (0)
#define FOUR_DOTS()                         \
    do {                                    \
        tile_dot(0, 4, 6);                  \
        if (wide) tile_dot(1, 4, 7);        \
        if (tall) tile_dot(2, 5, 6);        \
        if (tall && wide) tile_dot(3, 5, 7); \
    } while (0)

/* The next ROWS_TOGETHER rows, or what is left of them */
static __attribute__((noinline)) void finish_next(const slab *s, block *b) {
    if (b->rows - b->done >= ROWS_TOGETHER)
        finish_some(ROWS_TOGETHER, s, b);
    else
        for (nn_index left = b->rows - b->done; left > 0; left--) finish_some(1, s, b);
}

static __attribute__((noinline)) void pack_block_1(packing *p) { pack_block(p, 1); }
static __attribute__((noinline)) void pack_block_2(packing *p) { pack_block(p, 2); }

/* C (2 × 2 tiles) = from, or 0, + Σ over K; its steps do all of what is to be finished, their share of what is to be
 * packed. */
INLINE void dot_tiles(const dot *t, const real *from, real *to, chores *todo, const int pieces, const int tall,
                      const int wide, const int stream_a) {
    const size_t a_stride = (size_t)t->lda * sizeof(word), b_stride = PANEL * sizeof(word);
    const size_t c_stride = PANEL * sizeof(real);
    const nn_index steps = t->K / TILE_SIDE;
    const nn_index groups = ceil_div(todo->before->rows - todo->before->done, ROWS_TOGETHER);
    nn_index groups_due = 0;
#define EACH_C(X)                                              \
    do {                                                       \
        X(0, 0);                                               \
        if (wide) X(1, TILE_SIDE);                             \
        if (tall) X(2, TILE_SIDE * PANEL);                     \
        if (tall && wide) X(3, TILE_SIDE * PANEL + TILE_SIDE); \
    } while (0)
#define ZERO(tile, at) tile_zero(tile)
#define LOAD_C(tile, at) tile_load(tile, from + (at), c_stride)
#define STORE_C(tile, at) tile_store(tile, to + (at), c_stride)
#define LOAD(tile, p, stride, stream)          \
    do {                                       \
        if (stream)                            \
            tile_stream(tile, p, stride);      \
        else                                   \
            tile_load(tile, p, stride);        \
    } while (0)
#define LOAD_A(tile, p) LOAD(tile, p, a_stride, stream_a)
#define LOAD_B(tile, p) LOAD(tile, p, b_stride, !stream_a)
    if (from)
        EACH_C(LOAD_C);
    else
        EACH_C(ZERO);
    const word *A = t->A, *A1 = A + TILE_SIDE * t->lda, *B = t->B;
    for (nn_index k = 0; k < steps; k++, A += TILE_SIDE, A1 += TILE_SIDE, B += TILE_SIDE * PANEL) {
        if (pieces == 1) /* two tiles for operands: little loss alone, a gain beside a busy sibling */
            DOTS_OF(4, A, A1, 6, B);
        else
            DOTS_ONCE(A, A1, B);
        for (todo->due += todo->blocks; todo->due >= todo->steps; todo->due -= todo->steps)
            pieces == 1 ? pack_block_1(&todo->next) : pack_block_2(&todo->next);
        for (groups_due += groups; groups_due >= steps; groups_due -= steps) finish_next(todo->s, todo->before);
    }
    EACH_C(STORE_C);
#undef EACH_C
#undef ZERO
#undef LOAD_C
#undef STORE_C
#undef LOAD
#undef LOAD_A
#undef LOAD_B
}

INLINE void dot_block(const dot *t, const real *from, real *to, chores *todo, const int pieces, const int stream_a) {
    const int tall = t->rows > TILE_SIDE, wide = t->n > TILE_SIDE;
    tiles_read(t->A);
    if (tall && wide) dot_tiles(t, from, to, todo, pieces, 1, 1, stream_a);
    else if (tall) dot_tiles(t, from, to, todo, pieces, 1, 0, stream_a);
    else if (wide) dot_tiles(t, from, to, todo, pieces, 0, 1, stream_a);
    else dot_tiles(t, from, to, todo, pieces, 0, 0, stream_a);
}

/* Whether each panel of B is packed while the one before is multiplied: where all of A's block waits for it */
INLINE int packs_in_turn(const nn_gemm *g, const int pieces) {
    return !g->packed && g->a_col == 1 && g->M <= ROWS_OF_BLOCK(pieces);
}

INLINE void multiply_slab(slab *s, const int pieces) {
    const nn_gemm *g = s->g;
    const nn_index M = g->M, panels = ceil_div(s->cols, PANEL), panel_words = pieces * s->b_piece, lda = s->t.lda;
    const nn_index depth = s->t.K, parts = ceil_div(depth, TILE_K / pieces);
    const nn_index part = ceil_div(ceil_div(depth, parts), TILE_SIDE) * TILE_SIDE;
    const int in_turn = packs_in_turn(g, pieces), rows_outside = !in_turn && panels * panel_words <= B_WORDS;
    const nn_index blocks_of_M = rows_outside ? 1 : ceil_div(M, ROWS_OF_BLOCK(pieces));
    const nn_index mc = ceil_div(ceil_div(M, blocks_of_M), BF16_ROWS) * BF16_ROWS;
    word *const A = s->scratch, *const packed = A + A_WORDS;
    const word *const B = s->B ? s->B : packed;
    real *const unfinished = (real *)(packed + B_WORDS);
    dot *const t = &s->t;
    block blocks[2], *now = &blocks[0];
    chores todo = {.s = s, .before = &blocks[1]};
    todo.before->rows = todo.before->done = 0;

    if (!in_turn)
        pack_panels(s, packed, panel_words, pieces);
    else {
        packing p = panel_of_B(s, 0, packed);
        pack_rest(&p, pieces);
    }
    for (nn_index ic = 0; ic < M; ic += mc) { /* LOOP 3 cuts M, so that packed A fits; rows outside: two strips do */
        const nn_index rows = least(mc, M - ic), strips = ceil_div(rows, BF16_ROWS);
        const nn_index outers = rows_outside ? strips : panels, inners = rows_outside ? panels : strips;
        packing first = rows_of_A(s, ic, rows_outside ? least(BF16_ROWS, rows) : rows, A);
        pack_rest(&first, pieces);
        for (nn_index outer = 0; outer < outers; outer++) { /* LOOP 2 */
            const nn_index next = outer + 1;
            todo.blocks = todo.due = 0;
            if (next < outers && (rows_outside || in_turn || strips > 2)) { /* few strips end before it is fetched */
                const nn_index i = next * BF16_ROWS, m = least(BF16_ROWS, rows - i);
                todo.next = rows_outside ? rows_of_A(s, ic + i, m, A + next % 2 * BF16_ROWS * lda)
                            : in_turn ? panel_of_B(s, next * PANEL, packed + next % 2 * panel_words)
                                      : fetched_panel(s, next * PANEL, B + next * panel_words);
                todo.blocks = blocks_of(&todo.next);
            }
            todo.steps = inners * (depth / TILE_SIDE);
            for (nn_index k = 0; k < depth; k += part)
                for (nn_index inner = 0; inner < inners; inner++) { /* LOOP 1 */
                    const nn_index i = (rows_outside ? outer : inner) * BF16_ROWS, j = rows_outside ? inner : outer;
                    const int ends = k + part >= depth;
                    real *const sums = unfinished + inner * C_REALS;
                    t->i = ic + i, t->rows = least(BF16_ROWS, rows - i);
                    t->j = j * PANEL, t->n = least(PANEL, s->cols - t->j), t->K = least(part, depth - k);
                    t->A = A + (rows_outside ? outer % 2 * BF16_ROWS : i) * lda + k;
                    t->B = B + (in_turn ? j % 2 : j) * panel_words + k * PANEL;
                    block_is(now, t);
                    if (rows_outside || strips == 1) /* B passes by */
                        dot_block(t, k ? sums : NULL, ends ? now->sums : sums, &todo, pieces, 0);
                    else
                        dot_block(t, k ? sums : NULL, ends ? now->sums : sums, &todo, pieces, 1);
                    if (ends) {
                        block *const finished = todo.before;
                        todo.before = now;
                        now = finished;
                    }
                }
        }
    }
    while (todo.before->done < todo.before->rows) finish_next(s, todo.before);
}

#include "operations/dense/bfloat16_windows.h"
