/* convolution.h: convolutions as products of windows with W (size_h size_w depth, n), on one thread; depth are the
 * channels of a group.
 *
 * A window is a row of X's matrix in so many segments: rows of the image, or single places where the window has
 * holes, or its channels neighbours. The product reads them where they lie (nn_gemm, `segments`), in the image or,
 * where windows reach beyond that, in a copy of a band of it with zeros around. Products of bfloat16 read them in such
 * a copy that is made of words, where segments are whole words (suits_words); else they have them copied row by row.
 *
 * Order: an element of Y is that of the product (gemm.h), cut in segments or, by the sizes alone, `plain`; so is one
 * of dX where that is a convolution (convolve_flipped). One of dW adds up bands of each sample of its part, in order,
 * as products or, by the sizes alone, as pairs.h or bfloat16_weights.h do. Bands are cut by the sizes alone.
 */
#ifndef NNCORE_CONVOLUTION_H
#define NNCORE_CONVOLUTION_H

#include "operations/convolution/pairs.h"
#include "operations/dense/products.h"
#include "operations/windows.h"

enum {
    BAND_REALS = NN_BAND_REALS, /* of an image, with zeros around */
    ROWS_REALS = NN_BAND_REALS, /* of windows, row by row; */
    ROWS_AIM = 1 << 16,   /* so many share L2 with W, but */
    LEAST_ROWS = 56,      /* fewer than these would read W too often */
    MOST_ROWS = NN_LINE_WINDOWS,
    PIECE = BAND_REALS / 2, /* words from one piece of a band to the next */
    MOST_SEGMENTS = NN_WINDOW_PLACES, /* and lines of a band */
    WINDOW_BYTES = (BAND_REALS + ROWS_REALS) * sizeof(real) + MOST_SEGMENTS * sizeof(nn_index)
};

typedef struct convolution {
    window_axis h, w;
    nn_index channels, line;
    nn_index reach_h, reach_w;         /* of a window in the image */
    nn_index depth, K, ld;             /* channels of a group; reals of a window, and from one to the next as rows */
    nn_index segments, segment;        /* of a window: how many, of so many reals */
    nn_index parts, lines, rows;       /* lines of a row of windows; lines in a band; windows at a time, as rows */
    int plain;                         /* all windows of a band lie one after another, each in one segment */
    real *band, *P;                    /* memory for them */
    nn_index *offsets;                 /* of the segments in the image */
    int pieces;                        /* 0; or the image is laid out as words of two reals, in so many pieces */
    nn_index row;                      /* reals, or words, of a row of the image, as it was laid out last */
} convolution;

INLINE void convolution_sizes(convolution *v, nn_index groups, nn_index tile, const nn_run *run, void *scratch) {
    const nn_index size = sizeof(real);
    v->depth = v->channels / groups, v->K = v->h.size * v->w.size * v->depth;
    v->reach_h = window_reach(v->h), v->reach_w = window_reach(v->w);
    const int whole_rows = groups == 1 && v->w.dilation == 1;
    v->segments = v->h.size * (whole_rows ? 1 : v->w.size), v->segment = v->K / v->segments;
    const nn_index whole = ceil_div(v->K, LANES) * LANES;
    v->ld = whole * size % 1024 ? whole : whole + LANES; /* or rows share few sets of L1 */
    const nn_index fit = least(ROWS_REALS / v->ld, MOST_ROWS), wanted = least(ROWS_AIM / v->ld, fit);
    v->rows = wanted < LEAST_ROWS ? least(LEAST_ROWS, fit) : wanted;
    if (v->rows > tile) v->rows -= v->rows % tile;
    v->parts = ceil_div(v->w.out, v->line);
    const nn_index line = ((v->line - 1) * v->w.stride + v->reach_w) * v->channels;
    const nn_index high = least((BAND_REALS / line - v->reach_h) / v->h.stride + 1, MOST_SEGMENTS);
    v->lines = v->parts > 1 ? 1 : least(high, v->h.out);
    const nn_index wide = (v->w.out - 1) * v->w.stride + v->reach_w; /* places that a line reaches */
    const nn_index row = v->w.before || wide - v->w.before > v->w.length ? wide : v->w.length; /* as `lay_out` has it */
    v->plain = v->segments == 1 && (v->lines == 1 || v->h.stride * row == v->line * v->w.stride);
    assert(v->lines > 0 && v->rows > 0 && v->segments <= MOST_SEGMENTS);
    v->offsets = (nn_index *)((char *)scratch + run->table->gemm_scratch);
    v->band = (real *)(v->offsets + MOST_SEGMENTS), v->P = v->band + BAND_REALS;
}
#define CONVOLUTION_OF(v, op, tile)                                                                                  \
    convolution v = {                                                                                                \
        .h = WINDOWS_DOWN(op), .w = WINDOWS_ACROSS(op), .channels = op->channels, .line = op->line};                 \
    convolution_sizes(&v, op->groups, tile, run, scratch)

INLINE void copy_reals(real *to, const real *from, nn_index n) {
    for (nn_index i = 0; i < n; i += LANES) store_some(to + i, n - i, load_some(from + i, n - i));
}
INLINE void clear_reals(real *to, nn_index n) {
    for (nn_index i = 0; i < n; i += LANES) store_some(to + i, n - i, (vf){0});
}
/* Reals to an element of what is laid out */
INLINE nn_index unit_of(const convolution *v) { return v->pieces ? 2 : 1; }

/* n reals, or zeros if x is NULL, as products read them */
INLINE void lay_out_reals(const convolution *v, nn_index n, const real *x, real *y) {
    if (!x)
        for (int q = 0; q < (v->pieces ? v->pieces : 1); q++) clear_reals(y + q * PIECE, n / unit_of(v));
    else if (v->pieces == 0)
        copy_reals(y, x, n);
    else if (v->pieces == 1)
        cut_reals(n, x, (word *)y, PIECE, 1);
    else
        cut_reals(n, x, (word *)y, PIECE, 2);
}
INLINE nn_index clamp(nn_index x, nn_index low, nn_index high) { return x < low ? low : x > high ? high : x; }

/* Where window (oh,ow) of a sample x begins; `lines` × `columns` windows from it on are there, as far as they reach,
 * rows of the image `row` apart. */
static const real *lay_out(convolution *v, const real *x, nn_index oh, nn_index lines, nn_index ow,
                           nn_index columns) {
    const nn_index top = oh * v->h.stride - v->h.before, high = (lines - 1) * v->h.stride + v->reach_h;
    const nn_index left = ow * v->w.stride - v->w.before, wide = (columns - 1) * v->w.stride + v->reach_w;
    const nn_index row = v->w.length * v->channels, unit = unit_of(v);
    v->row = row;
    if (!v->pieces && top >= 0 && top + high <= v->h.length && left >= 0 && left + wide <= v->w.length)
        return x + top * row + left * v->channels;
    const nn_index from = clamp(-left, 0, wide), to = clamp(v->w.length - left, from, wide);
    const nn_index before = from * v->channels, inside = (to - from) * v->channels;
    const nn_index behind = (wide - to) * v->channels, all = wide * v->channels;
    v->row = all / unit;
    real *y = v->band;
    for (nn_index h = top; h < top + high; h++, y += v->row) {
        if (h < 0 || h >= v->h.length) {
            lay_out_reals(v, all, NULL, y);
            continue;
        }
        lay_out_reals(v, before, NULL, y);
        lay_out_reals(v, inside, x + h * row + (left + from) * v->channels, y + before / unit);
        lay_out_reals(v, behind, NULL, y + (before + inside) / unit);
    }
    return v->band;
}

INLINE void find_segments(convolution *v) {
    nn_index *offset = v->offsets;
    for (nn_index i = 0; i < v->h.size; i++)
        for (nn_index j = 0; j < v->segments / v->h.size; j++)
            *offset++ = i * v->h.dilation * v->row + j * v->w.dilation * v->channels / unit_of(v);
}

/* P (count,ld): windows first … of lines of `columns`, of an image that was laid out. */
static void copy_windows(const convolution *v, const real *image, nn_index columns, nn_index first, nn_index count) {
    real *p = v->P;
    for (nn_index r = first; r < first + count; r++, p += v->ld) {
        const real *x = image + r / columns * v->h.stride * v->row + r % columns * v->w.stride * v->channels;
        for (nn_index s = 0; s < v->segments; s++) copy_reals(p + s * v->segment, x + v->offsets[s], v->segment);
    }
}

/* Line `at` of a sample, and how many of the next `count` are in its band. */
typedef struct band {
    nn_index oh, lines, ow, columns;
} band;
INLINE band band_at(const convolution *v, nn_index at, nn_index count) {
    const nn_index oh = at / v->parts, ow = at % v->parts * v->line;
    const nn_index lines = least(least(count, v->lines), v->parts > 1 ? 1 : v->h.out - oh);
    return (band){oh, lines, ow, least(v->line, v->w.out - ow)};
}

/* Whether products of bfloat16 read windows where they lie: their segments, and what is between them, in whole words */
INLINE int suits_words(const convolution *v) {
    return !v->plain && v->K <= WORDS_K && v->channels % 2 == 0 && v->depth % 2 == 0;
}

/* Lines first … first + count of Y, of all samples. `whole`: the product of all windows; where A begins, its sizes
 * and the columns of a group are set here. */
static void convolve_lines(convolution *v, const nn_run *run, const nn_gemm *whole, nn_index groups, int precision,
                           nn_index first, nn_index count) {
    v->pieces = suits_words(v) ? pieces_of(precision) : 0;
    const nn_index per = v->h.out * v->parts, image = v->h.length * v->w.length * v->channels;
    const nn_index n = whole->N / groups, unit = unit_of(v);
    for (nn_index end = first + count, lines; first < end; first += lines) {
        const nn_index sample = first / per;
        const band b = band_at(v, first % per, least(end - first, per - first % per));
        const real *const x = lay_out(v, (const real *)whole->A + sample * image, b.oh, b.lines, b.ow, b.columns);
        const nn_index window = (sample * v->h.out + b.oh) * v->w.out + b.ow, windows = b.lines * b.columns;
        lines = b.lines;
        find_segments(v);
        for (nn_index group = 0; group < groups; group++) {
            nn_gemm g = columns_of(whole, group * n, n);
            g.M = windows, g.K = v->K, g.part = groups > 1;
            g.A = x + group * v->depth / unit, g.a_row = v->w.stride * v->channels / unit, g.a_col = 1;
            g.group = b.columns, g.a_group = v->h.stride * v->row, g.a_piece = v->pieces ? PIECE : 0;
            if (!v->plain) g.segments = v->segments, g.offsets = v->offsets;
            if (v->plain || v->pieces || precision == NN_PRECISION_highest) {
                g = rows_of(&g, window);
                run->table->gemm[precision](&g);
                continue;
            }
            const real *const X = g.A;
            g.A = v->P, g.a_row = v->ld, g.segments = 0;
            for (nn_index r = 0; r < windows; r += g.M) {
                nn_gemm rows = rows_of(&g, window + r);
                g.M = rows.M = least(v->rows, windows - r);
                copy_windows(v, X, b.columns, r, g.M);
                run->table->gemm[precision](&rows);
            }
        }
    }
}

/* Places of one have no words of their own to be read: they are rows of any product. */
#define PRECISION_OF_WINDOWS(op)                                                                                     \
    run->table->precision_for((int)op->precision, op->size_h * op->size_w > 1 ? NN_WINDOWS : NN_MANY_ROWS,           \
                              op->size_h * op->size_w * op->channels / op->groups, op->n / op->groups)

/* y (n) = Σ of rows of x (rows,n), or += it; room for ROWS_REALS */
INLINE void add_column_sums(nn_index rows, nn_index n, const real *x, int add, real *room, real *y) {
    int nonfinite;
    for (nn_index j = 0; j < n; j += ROWS_REALS) {
        const nn_index some = least(ROWS_REALS, n - j);
        column_sums(rows, some, x + j, n, add ? room : y + j, &nonfinite);
        if (add) add_elements(some, y + j, room, y + j);
    }
}

#include "operations/convolution/winograd.h"

/* Either way: at points where there are filters U for that */
static void convolve_either(convolution *v, const nn_run *run, const nn_gemm *whole, const real *U, nn_index groups,
                            int precision, nn_index first, nn_index count) {
    if (U)
        convolve_lines_at_points(v, run, whole, U, first, count);
    else
        convolve_lines(v, run, whole, groups, precision, first, count);
}

SPAN(convolve) {
    const int precision = PRECISION_OF_WINDOWS(op);
    CONVOLUTION_OF(v, op, run->table->mr[precision]);
    const nn_gemm whole = {
        .N = op->n, .A = at(run, op->X, 0), .B = at(run, op->W, 0), .b_row = op->n, .b_col = 1,
        .packed = at(run, op->packed, 0), .bias = at(run, op->b, 0), .affine = at(run, op->affine, 0),
        .ldaffine = op->n, .C = at(run, op->Y, 0), .ldc = op->n, .Z = at(run, op->Z, 0), .ldz = op->n,
        .activation = (int)op->function, .parameters = op->parameters, .scratch = scratch,
        .ahead = nn_ahead_at(run, scratch),
    };
    convolve_either(&v, run, &whole, at(run, op->U, 0), op->groups, precision, first, count);
}

SPAN(convolve_flipped) {
    const int precision = PRECISION_OF_WINDOWS(op);
    CONVOLUTION_OF(v, op, run->table->mr[precision]);
    const nn_gemm whole = {
        .N = op->n, .A = at(run, op->dY, 0), .B = at(run, op->W, 0), .b_row = op->n, .b_col = 1,
        .packed = at(run, op->packed, 0), .bias = at(run, op->b, 0), .C = at(run, op->dX, 0), .ldc = op->n,
        .saved = at(run, op->saved, 0), .ldsaved = op->n,
        .activation = (int)op->function, .parameters = op->parameters, .scratch = scratch,
        .ahead = nn_ahead_at(run, scratch),
    };
    convolve_either(&v, run, &whole, at(run, op->U, 0), op->groups, precision, first, count);
}

/* dW (K,n) of lines of windows of an image of one channel, as pairs of them, which P has room for */
static void pair_windows(const convolution *v, band b, const real *image, const real *dY, nn_index n, int add,
                         real *dW) {
    const nn_index size = v->w.size, most = ROWS_REALS / (LANES * ceil_div(b.columns, 2)); /* lines at a time */
    for (nn_index l = 0, lines; l < b.lines; l += lines, add = 1) {
        lines = least(most, b.lines - l);
        real *pairs = v->P;
        for (nn_index i = l; i < l + lines; i++) pairs = pair_rows(b.columns, n, dY + i * b.columns * n, pairs);
        for (nn_index i = 0; i < v->h.size; i++)
            for (nn_index j = 0, places; j < size; j += places) {
                places = least(ceil_div(size, ceil_div(size, PAIR_PLACES)), size - j);
                const real *const x = image + (l * v->h.stride + i * v->h.dilation) * v->row + j;
                pairs_kernels[places - 1](lines, b.columns, x, v->h.stride * v->row, v->P, n, dW + (i * size + j) * n,
                                          add);
            }
    }
}

#ifdef BF16_SPLITS
#include "operations/convolution/bfloat16_weights.h"
#else
#define lines_of_copy(v, n, pieces) 0
#define weights_of_band(v, b, most, x, dY, ldy, n, add, dW, pieces) ((void)(most), (void)(pieces))
#endif

SPAN(convolve_weights) {
    const nn_index depth = op->channels / op->groups, n = op->n / op->groups;
    CONVOLUTION_OF(v, op, run->table->mr[NN_PRECISION_highest]);
    if (at(run, op->dU, 0)) {
        weights_at_points(&v, run, op, first, count, scratch);
        return;
    }
    const nn_index per = v.h.out * v.parts, image = op->height * op->width * op->channels;
    const nn_index most = least(ROWS_REALS / v.ld, MOST_ROWS / 2); /* windows, as rows: long sums pay */
    const int precise = run->table->precision_for((int)op->precision, v.K, most, n) == NN_PRECISION_highest;
    const int pieces = pieces_of((int)op->precision);
    const nn_index copied = lines_of_copy(&v, n, pieces);
    const int in_pairs = precise && v.channels * v.w.stride * v.w.dilation == 1 && n <= PAIR_FILTERS;
    for (nn_index sample = first; sample < first + count; sample++) {
        real *const dW = at(run, op->dW, sample / op->part * v.K * op->n);
        real *const db = at(run, op->db, sample / op->part * op->n);
        band b;
        for (nn_index line = 0; line < per; line += b.lines) {
            b = band_at(&v, line, per - line);
            const real *const X = at(run, op->X, sample * image);
            const real *const x = copied ? X : lay_out(&v, X, b.oh, b.lines, b.ow, b.columns);
            const nn_index window = (sample * v.h.out + b.oh) * v.w.out + b.ow, windows = b.lines * b.columns;
            const int add = sample % op->part || line;
            if (in_pairs) pair_windows(&v, b, x, at(run, op->dY, window * op->n), n, add, dW);
            if (db) add_column_sums(windows, op->n, at(run, op->dY, window * op->n), add, v.P, db);
            for (nn_index group = 0; group < op->groups && !in_pairs; group++) {
                const nn_index column = group * n;
                if (copied) {
                    weights_of_band(&v, b, copied, x + group * depth, at(run, op->dY, window * op->n + column), op->n,
                                    n, add, dW + column, pieces);
                    continue;
                }
                nn_gemm g = {
                    .M = v.segment, .N = n, .K = windows, .a_row = 1, .a_col = v.w.stride * v.channels,
                    .segments = b.lines, .offsets = v.offsets, .group = v.segment,
                    .B = at(run, op->dY, window * op->n + column), .b_row = op->n, .b_col = 1, .ldc = op->n,
                    .add = add, .part = op->groups > 1, .activation = NN_ACTIVATION_linear, .scratch = scratch,
                    .ahead = nn_ahead_at(run, scratch),
                };
                if (v.plain) {
                    g.segments = 0, g.A = x + group * depth, g.C = dW + column;
                    run->table->gemm[run->table->precision_for((int)op->precision, v.K, windows, n)](&g);
                    continue;
                }
                if (precise) {
                    for (nn_index l = 0; l < b.lines; l++) v.offsets[l] = l * v.h.stride * v.row;
                    for (nn_index i = 0, s = 0; i < v.h.size; i++)
                        for (nn_index j = 0; j < v.segments / v.h.size; j++, s++) {
                            g.A = x + group * depth + i * v.h.dilation * v.row + j * v.w.dilation * v.channels;
                            g.C = dW + s * v.segment * op->n + column;
                            run->table->gemm[NN_PRECISION_highest](&g);
                        }
                    continue;
                }
                find_segments(&v);
                g.M = v.K, g.A = v.P, g.a_col = v.ld, g.segments = 0, g.C = dW + column;
                for (nn_index r = 0; r < windows; r += g.K, g.add = 1) {
                    g.K = least(most, windows - r);
                    copy_windows(&v, x + group * depth, b.columns, r, g.K);
                    g.B = at(run, op->dY, (window + r) * op->n + column);
                    run->table->gemm[run->table->precision_for((int)op->precision, v.K, g.K, n)](&g);
                }
            }
        }
    }
}

#endif
