/* bfloat16_tiles.h: the dot kernel of bfloat16.h in AMX tiles: 2 × 2 tiles of C, 32 × 32 reals.
 *
 * Tiles 0-3 are C, 4 and 5 rows of A, 6 and 7 columns of B. With two pieces each of the eight tiles of a step is
 * loaded once for twelve products; rows of either half meet them in the same order: lo hi, hi hi, hi lo.
 * C passes through memory that stays in L1: tiles know neither bias nor masks. Rows of A beyond `rows` are whatever
 * the buffer holds; they end in rows of C that are not stored.
 */
#define BF16_ROWS ((nn_index)32)
#define BF16_GRAIN ((nn_index)16)
#define BF16_MC ((nn_index)128)
#define BF16_SPLITS 1
#define TILE_SIDE ((nn_index)16) /* rows of a tile, words of a row */

static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} tile_shapes = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
#define dot_begin() tile_configure(&tile_shapes)
#define dot_end() tile_release()

INLINE void dot_tiles(const dot *t, const int pieces, const int tall, const int wide) {
    const size_t a_stride = (size_t)t->lda * sizeof(word), b_stride = PANEL * sizeof(word);
    tile_zero(0);
    if (wide) tile_zero(1);
    if (tall) tile_zero(2);
    if (tall && wide) tile_zero(3);

    const word *A = t->A, *A1 = A + TILE_SIDE * t->lda, *B = t->B;
#define LOAD_A(tile, p) tile_load(tile, p, a_stride)
#define LOAD_B(tile, p) tile_load(tile, p, b_stride)
#define ROW(c0, c1, a)              \
    do {                            \
        tile_dot(c0, a, 6);         \
        if (wide) tile_dot(c1, a, 7); \
    } while (0)
    for (nn_index k = 0; k < t->K; k += TILE_SIDE, A += TILE_SIDE, A1 += TILE_SIDE, B += TILE_SIDE * PANEL) {
        LOAD_B(6, B);
        if (wide) LOAD_B(7, B + TILE_SIDE);
        if (pieces == 2) {
            LOAD_A(4, A + t->a_piece);
            ROW(0, 1, 4);
        }
        LOAD_A(4, A);
        ROW(0, 1, 4);
        if (tall) {
            if (pieces == 2) {
                LOAD_A(5, A1 + t->a_piece);
                ROW(2, 3, 5);
            }
            LOAD_A(5, A1);
            ROW(2, 3, 5);
        }
        if (pieces == 2) {
            LOAD_B(6, B + t->b_piece);
            if (wide) LOAD_B(7, B + t->b_piece + TILE_SIDE);
            ROW(0, 1, 4);
            if (tall) ROW(2, 3, 5);
        }
    }
#undef LOAD_A
#undef LOAD_B
#undef ROW

    real sums[2 * TILE_SIDE * PANEL] __attribute__((aligned(64)));
    tile_store(0, sums, PANEL * sizeof(real));
    if (wide) tile_store(1, sums + TILE_SIDE, PANEL * sizeof(real));
    if (tall) tile_store(2, sums + TILE_SIDE * PANEL, PANEL * sizeof(real));
    if (tall && wide) tile_store(3, sums + TILE_SIDE * PANEL + TILE_SIDE, PANEL * sizeof(real));

    for (nn_index i = 0; i < t->rows; i++) {
        vf c[1][2] = {{vload(sums + i * PANEL), vload(sums + i * PANEL + LANES)}};
        finish_rows(1, 1 + wide, c, i, t);
    }
}

INLINE void dot_block(const dot *t, const int pieces) {
    const int tall = t->rows > TILE_SIDE, wide = t->n > TILE_SIDE;
    if (tall && wide) dot_tiles(t, pieces, 1, 1);
    else if (tall) dot_tiles(t, pieces, 1, 0);
    else if (wide) dot_tiles(t, pieces, 0, 1);
    else dot_tiles(t, pieces, 0, 0);
}
