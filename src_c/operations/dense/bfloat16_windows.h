/* bfloat16_windows.h: the macro-kernel of bfloat16_tiles.h for windows of images whose words lie in a band.
 *
 * Nothing of A is packed: a tile of it are neighbouring windows of a line, and 16 words of a segment of each; what is
 * left of a segment goes through tiles of fewer words. A strip is two tiles of a line, or two short lines of a tile
 * each. The sums of a strip over all segments stay in tiles, while those of the strip before are finished. For each
 * panel of B, which L1 keeps, all strips pass by.
 */
INLINE void dot_windows(const dot *t, nn_index height, nn_index below, real *to, chores *todo, const int pieces,
                        const int tall, const int wide) {
    const size_t a_stride = (size_t)t->lda * sizeof(word), b_stride = PANEL * sizeof(word);
    const size_t c_stride = PANEL * sizeof(real);
    const nn_index groups = ceil_div(todo->before->t.rows - todo->before->done, ROWS_TOGETHER);
    nn_index groups_due = 0;
#define LOAD_A(tile, p) tile_load(tile, p, a_stride)
#define LOAD_B(tile, p) tile_load(tile, p, b_stride)
#define DOTS(a, b)                                                                          \
    do {                                                                                    \
        if (pieces == 2) DOTS_OF(a, A + t->a_piece, A + below + t->a_piece, b, B);          \
        DOTS_OF(a, A, A + below, b, B);                                                     \
        if (pieces == 2) DOTS_OF(a, A, A + below, b, B + t->b_piece);                       \
    } while (0)
    tile_zero(0);
    if (wide) tile_zero(1);
    if (tall) tile_zero(2);
    if (tall && wide) tile_zero(3);
    const word *B = t->B;
    for (nn_index s = 0; s < t->segments; s++) {
        const word *A = t->A + t->offsets[s];
        nn_index k = t->K;
        for (; k >= TILE_SIDE; k -= TILE_SIDE, A += TILE_SIDE, B += TILE_SIDE * PANEL) DOTS(4, 6);
        if (k) DOTS(5, 7);
        B += k * PANEL;
        for (groups_due += groups; groups_due >= t->segments; groups_due -= t->segments)
            finish_next(todo->s, todo->before);
    }
    tile_store(0, to, c_stride);
    if (wide) tile_store(1, to + TILE_SIDE, c_stride);
    if (tall) tile_store(2, to + height * PANEL, c_stride);
    if (tall && wide) tile_store(3, to + height * PANEL + TILE_SIDE, c_stride);
#undef LOAD_A
#undef LOAD_B
#undef DOTS
}

INLINE void multiply_windows(slab *s, const int pieces) {
    const nn_gemm *g = s->g;
    const nn_index columns = g->group, height = windows_of_tile(g), step = pieces * s->b_piece; /* between panels */
    const int lines = height == columns; /* a tile each */
    const nn_index below = lines ? g->a_group : height * g->a_row; /* from the first tile of a strip to the second */
    word *const packed = (word *)s->scratch + A_WORDS;
    block blocks[2], *now = &blocks[0];
    chores todo = {.s = s, .before = &blocks[1]};
    todo.before->t.rows = todo.before->done = 0;
    pack_panels(s, packed, step, pieces);
    const dot all = windows_of(s);
    for (nn_index j = 0; j < s->cols; j += PANEL)
        for (nn_index i = 0, rows; i < g->M; i += rows) {
            rows = least(2 * height, lines ? g->M - i : columns - i % columns);
            now->t = tile_at(s, &all, i, rows, j);
            now->t.A = (const word *)g->A + i / columns * g->a_group + i % columns * g->a_row;
            now->t.B = (s->B ? s->B : packed) + j / PANEL * step;
            now->i = i, now->j = j, now->done = 0;
            const dot *const t = &now->t;
            tiles_read(t->A);
            if (rows > height && t->n > TILE_SIDE) dot_windows(t, height, below, now->sums, &todo, pieces, 1, 1);
            else if (rows > height) dot_windows(t, height, below, now->sums, &todo, pieces, 1, 0);
            else if (t->n > TILE_SIDE) dot_windows(t, height, below, now->sums, &todo, pieces, 0, 1);
            else dot_windows(t, height, below, now->sums, &todo, pieces, 0, 0);
            block *const finished = todo.before;
            todo.before = now, now = finished;
        }
    while (todo.before->done < todo.before->t.rows) finish_next(s, todo.before);
}
