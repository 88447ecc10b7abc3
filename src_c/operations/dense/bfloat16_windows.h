/* bfloat16_windows.h: products by AMX tiles of what lies in words already: windows of images, in lines.
 *
 * Nothing of A is packed: a tile of it are neighbouring windows of a line, and 16 words of a segment of each; what is
 * left of a segment goes through tiles of fewer words. A strip is two tiles of a line, or two short lines of a tile
 * each. Its sums over all segments stay in tiles, while those of the strip before are finished. For each panel of B,
 * which L1 keeps, all strips pass by.
 */
typedef struct strips { /* what goes on from strip to strip */
    chores todo;
    block blocks[2], *now;
} strips;

INLINE void strips_begin(strips *p, const slab *s) {
    p->todo.s = s, p->todo.before = &p->blocks[0], p->now = &p->blocks[1];
    p->todo.before->rows = p->todo.before->done = 0;
}
INLINE void strips_end(strips *p) {
    while (p->todo.before->done < p->todo.before->rows) finish_next(p->todo.s, p->todo.before);
}

/* C (2 × 2 tiles) = Σ over K of all segments; the second tile of A lies `below` bytes behind the first. */
INLINE void dot_strip(const dot *t, nn_index height, nn_index below, real *to, const chores *todo, const int pieces,
                      const int tall, const int wide) {
    const size_t a_stride = (size_t)t->lda * sizeof(word), b_stride = PANEL * sizeof(word);
    const size_t c_stride = PANEL * sizeof(real);
    const int no_rest = t->K % TILE_SIDE == 0; /* else tiles 5 and 7 have another shape */
    const nn_index steps = t->segments * ceil_div(t->K, TILE_SIDE);
    const nn_index groups = ceil_div(todo->before->rows - todo->before->done, ROWS_TOGETHER);
    nn_index groups_due = 0;
#define LOAD_A(tile, p) tile_load(tile, p, a_stride)
#define LOAD_B(tile, p) tile_load(tile, p, b_stride)
#define SECOND(p) (const word *)((const char *)(p) + below)
#define DOTS(a, b)                                                                                         \
    do {                                                                                                   \
        if (pieces == 2) DOTS_OF(a, A + t->a_piece, SECOND(A + t->a_piece), b, B);                         \
        DOTS_OF(a, A, SECOND(A), b, B);                                                                    \
        if (pieces == 2) DOTS_OF(a, A, SECOND(A), b, B + t->b_piece);                                      \
    } while (0)
    tile_zero(0);
    if (wide) tile_zero(1);
    if (tall) tile_zero(2);
    if (tall && wide) tile_zero(3);
    const word *B = t->B;
    for (nn_index s = 0; s < t->segments; s++) {
        const word *A = t->A + t->offsets[s];
        for (nn_index k = t->K; k > 0; k -= TILE_SIDE, A += TILE_SIDE, B += TILE_SIDE * PANEL) {
            if (no_rest)
                DOTS_ONCE(A, SECOND(A), B);
            else if (k >= TILE_SIDE)
                DOTS(4, 6);
            else
                DOTS(5, 7);
            for (groups_due += groups; groups_due >= steps; groups_due -= steps) finish_next(todo->s, todo->before);
        }
        if (t->K % TILE_SIDE) B -= (TILE_SIDE - t->K % TILE_SIDE) * PANEL;
    }
    tile_store(0, to, c_stride);
    if (wide) tile_store(1, to + TILE_SIDE, c_stride);
    if (tall) tile_store(2, to + height * PANEL, c_stride);
    if (tall && wide) tile_store(3, to + height * PANEL + TILE_SIDE, c_stride);
#undef LOAD_A
#undef LOAD_B
#undef SECOND
#undef DOTS
}

/* The strip t, of tiles of `height` rows */
INLINE void multiply_strip(strips *p, const dot *t, nn_index height, nn_index below, const int pieces) {
    const int tall = t->rows > height, wide = t->n > TILE_SIDE;
    block *const now = p->now;
    block_is(now, t);
    tiles_read(t->A);
    if (tall && wide) dot_strip(t, height, below, now->sums, &p->todo, pieces, 1, 1);
    else if (tall) dot_strip(t, height, below, now->sums, &p->todo, pieces, 1, 0);
    else if (wide) dot_strip(t, height, below, now->sums, &p->todo, pieces, 0, 1);
    else dot_strip(t, height, below, now->sums, &p->todo, pieces, 0, 0);
    p->now = p->todo.before, p->todo.before = now;
}

INLINE void multiply_windows(slab *s, const int pieces) {
    const nn_gemm *g = s->g;
    const nn_index columns = g->group, height = even_rows(columns), step = pieces * s->b_piece; /* between panels */
    const int lines = height == columns; /* a tile each */
    const nn_index below = (lines ? g->a_group : height * g->a_row) * (nn_index)sizeof(word);
    word *const packed = (word *)s->scratch + A_WORDS;
    strips all_strips, *const strips = &all_strips;
    strips_begin(strips, s);
    pack_panels(s, packed, step, pieces);
    dot t = windows_of(s);
    for (t.j = 0; t.j < s->cols; t.j += PANEL) {
        t.B = (s->B ? s->B : packed) + t.j / PANEL * step, t.n = least(PANEL, s->cols - t.j);
        for (t.i = 0; t.i < g->M; t.i += t.rows) {
            t.rows = least(2 * height, lines ? g->M - t.i : columns - t.i % columns);
            t.A = (const word *)g->A + t.i / columns * g->a_group + t.i % columns * g->a_row;
            multiply_strip(strips, &t, height, below, pieces);
        }
    }
    strips_end(strips);
}
