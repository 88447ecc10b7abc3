/* bfloat16_weights.h: the gradient of weights, of windows one place apart, from words that are cut once, by tiles of
 * AMX.
 *
 * dW (places depth, n) = Σ over k of Xᵀ (places depth, k) dY (k, n), where k runs over a band line after line, also
 * over what lies between the lines of windows: there dY is 0. So the rows of Xᵀ for a place of the windows begin a
 * few elements further on than those of another, in one copy: (depth, k). Lines begin with whole words in both. An
 * infinity or nan of X meets such zeros, too, and makes more elements of dW nan than those whose windows see it.
 *
 * Order: lines of windows that share a copy, by the sizes alone, are one chain from 0, by steps of 32; dW adds them up.
 */
#ifndef NNCORE_BFLOAT16_WEIGHTS_H
#define NNCORE_BFLOAT16_WEIGHTS_H

#include "operations/dense/products.h"

enum {
    LEAST_DEPTH = 8,     /* channels: fewer leave too much of a tile idle */
    COPY_WORDS = 1 << 9, /* of a row, about, where lines are short */
    HALF_BYTES = sizeof(word) / 2
};

/* Lines of windows side by side, and what of the image they reach. */
typedef struct copied {
    nn_index lines, columns;
    nn_index odd, pitch;       /* 1 where a line has an element ahead of its first window; elements of a line */
    nn_index words, ld;        /* of a row of dYᵀ; of Xᵀ, which places further on begin later */
    nn_index x_piece, dy_piece, dy_step; /* words between pieces; between panels of dY */
} copied;

INLINE nn_index round_up(nn_index n, nn_index unit) { return ceil_div(n, unit) * unit; }

INLINE copied copied_lines(const convolution *v, nn_index lines, nn_index columns, nn_index padding, int pieces) {
    copied c = {.lines = lines, .columns = columns, .odd = padding % 2};
    c.pitch = round_up(c.odd + columns - 1 + v->reach_w, 2);
    c.words = round_up(lines * c.pitch / 2, TILE_SIDE);
    const nn_index read = ((v->reach_h - 1) * c.pitch + c.odd + v->reach_w) / 2 + 1 + c.words;
    const nn_index written = (lines - 1 + v->reach_h) * c.pitch / 2 + TILE_SIDE; /* in whole blocks of STEP */
    c.ld = round_up(read > written ? read : written, TILE_SIDE);
    if (c.ld % (16 * TILE_SIDE) == 0) c.ld += TILE_SIDE; /* or rows share few sets of L1 */
    c.x_piece = round_up(v->depth, TILE_SIDE) * c.ld;
    c.dy_piece = (c.words + TILE_SIDE) * PANEL; /* the last line ends with whole blocks of STEP */
    c.dy_step = pieces * c.dy_piece;
    return c;
}

/* Lines of windows that share a copy; 0: it is not for these convolutions, or not one has room. */
static nn_index lines_of_copy(const convolution *v, nn_index n, int pieces) {
    const int suits = v->h.stride == 1 && v->w.stride == 1 && v->h.size * v->w.size > 1 && v->depth >= LEAST_DEPTH;
    if (!pieces || !suits || n < LANES) return 0;
    const nn_index columns = least(v->line, v->w.out), panels = ceil_div(n, PANEL);
    nn_index lines = v->parts > 1 ? 1 : least(v->lines, ceil_div(2 * COPY_WORDS, columns + v->reach_w));
    for (; lines > 0; lines--) {
        const copied c = copied_lines(v, lines, columns, 1, pieces);
        if (pieces * c.x_piece <= BAND_REALS && panels * c.dy_step <= ROWS_REALS) break;
    }
    return lines;
}

/* Xᵀ and panels of dY of the lines from b on; x: the image, from the channels of a group on, dY: likewise its first
 * line. */
INLINE void copy_lines(const convolution *v, const copied *c, band b, const real *x, const real *dY, nn_index ldy,
                       nn_index n, word *Xt, word *panels, const int pieces) {
    const nn_index top = b.oh - v->h.before, left = b.ow - v->w.before, wide = c->columns - 1 + v->reach_w;
    const nn_index from = clamp(-left, 0, wide), to = clamp(v->w.length - left, from, wide);
    memset(Xt, 0, (size_t)(pieces * c->x_piece) * sizeof(word));
    for (nn_index r = 0; r < c->lines - 1 + v->reach_h; r++) {
        if (top + r < 0 || top + r >= v->h.length) continue;
        packing p = {.x = x + ((top + r) * v->w.length + left + from) * v->channels, .ld = v->channels, .n = v->depth,
                     .K = to - from, .across = 1, .y = Xt + (r * c->pitch + c->odd + from) / 2, .ldy = c->ld,
                     .piece = c->x_piece};
        pack_rest(&p, pieces);
    }
    const nn_index count = ceil_div(n, PANEL);
    memset(panels, 0, (size_t)(count * c->dy_step) * sizeof(word));
    for (nn_index j = 0; j < count; j++)
        for (nn_index l = 0; l < c->lines; l++) {
            packing p = {.x = dY + l * v->w.out * ldy + j * PANEL, .ld = ldy, .n = least(PANEL, n - j * PANEL),
                         .K = c->columns, .across = 1, .panel = 1,
                         .y = panels + j * c->dy_step + l * c->pitch / 2 * PANEL, .ldy = PANEL, .piece = c->dy_piece};
            pack_rest(&p, pieces);
        }
}

/* Row i of Xᵀ (places depth, k), in bytes from the first element, perhaps at half a word: tiles alone load there */
INLINE nn_index row_of_copy(const convolution *v, const copied *c, nn_index i) {
    const nn_index place = i / v->depth, channel = i % v->depth;
    const nn_index h = place / v->w.size * v->h.dilation, w = place % v->w.size * v->w.dilation;
    return channel * c->ld * (nn_index)sizeof(word) + (c->odd + h * c->pitch + w) * HALF_BYTES;
}

/* dW (places depth, n), rows ldy apart, of the lines of band b, `most` to a copy, or += it; a strip are the channels of
 * two places, or two tiles of those of one */
INLINE void add_copies(const convolution *v, band b, nn_index most, const real *x, const real *dY, nn_index ldy,
                       nn_index n, int add, real *dW, const int pieces) {
    word *const Xt = (word *)v->band, *const panels = (word *)v->P;
    const nn_index depth = v->depth, height = even_rows(depth), no_offset = 0;
    const int of_two = height == depth;
    slab s = {.end = {.C = dW, .ldc = ldy}}; /* nothing follows the sums */
    shape_tiles(height, 0);
    for (nn_index l = 0; l < b.lines; l += most, add = 1) {
        const nn_index padding = clamp(v->w.before - b.ow, 0, b.columns - 1 + v->reach_w);
        const copied c = copied_lines(v, least(most, b.lines - l), b.columns, padding, pieces);
        const band some = {b.oh + l, c.lines, b.ow, c.columns};
        copy_lines(v, &c, some, x, dY + l * v->w.out * ldy, ldy, n, Xt, panels, pieces);
        dot t = {.K = c.words, .segments = 1, .offsets = &no_offset, .lda = c.ld, .a_piece = c.x_piece,
                 .b_piece = c.dy_piece};
        s.end.add = add;
        strips strips;
        strips_begin(&strips, &s);
        for (t.j = 0; t.j < n; t.j += PANEL) {
            t.n = least(PANEL, n - t.j), t.B = panels + t.j / PANEL * c.dy_step;
            for (t.i = 0; t.i < v->K; t.i += t.rows) {
                const nn_index from = row_of_copy(v, &c, t.i), below = row_of_copy(v, &c, t.i + height) - from;
                t.rows = least(2 * height, of_two ? v->K - t.i : depth - t.i % depth);
                t.A = (const word *)((const char *)Xt + from);
                multiply_strip(&strips, &t, height, below, pieces);
            }
        }
        strips_end(&strips);
    }
    dot_end();
}

static void weights_of_band(const convolution *v, band b, nn_index most, const real *x, const real *dY, nn_index ldy,
                            nn_index n, int add, real *dW, int pieces) {
    if (pieces == 1)
        add_copies(v, b, most, x, dY, ldy, n, add, dW, 1);
    else
        add_copies(v, b, most, x, dY, ldy, n, add, dW, 2);
}

#endif
