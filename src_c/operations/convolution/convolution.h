/* convolution.h: convolutions as products of windows, laid out as rows, with W (size_h size_w depth, n), on one thread.
 *
 * A block of windows is copied to scratch, one row (size_h,size_w,depth) each, few enough to stay in L2 while the
 * product reads them; depth are the channels of a group. Where the windows of a row of X lie in memory as they are, one
 * after another `stride` places apart, they are read in place: of one place, or of series.
 *
 * Order: an element of Y is that of the product (gemm.h). One of dX adds up, for each band of rows of windows, its
 * places in the windows, size_h and size_w ascending; bands are cut by the sizes alone. One of dW is a part's sum over
 * blocks of windows, in their order.
 */
#ifndef NNCORE_CONVOLUTION_H
#define NNCORE_CONVOLUTION_H

#include "operations/dense/products.h"

#define WINDOW_REALS ((nn_index)1 << 18)      /* room for a block of windows */
#define WINDOW_AIM ((nn_index)1 << 16)        /* reals that share L2 with W */
#define LEAST_WINDOWS ((nn_index)56)          /* fewer would read W too often */
#define MOST_WINDOWS ((nn_index)504)

typedef struct windows {
    nn_index height, width, channels, size_h, size_w, stride_h, stride_w, dilation_h, dilation_w, top, left;
    nn_index out_h, out_w;
    nn_index depth, K, ld; /* channels of a group; reals of a window, and from one to the next in scratch */
    nn_index block;        /* windows at a time */
} windows;

INLINE windows windows_of(nn_index K, nn_index depth, nn_index height_of_tile) {
    const nn_index whole = ceil_div(K, LANES) * LANES, ld = whole * (nn_index)sizeof(real) % 1024 ? whole : whole + LANES;
    const nn_index fits = least(WINDOW_REALS / ld, MOST_WINDOWS), wanted = least(WINDOW_AIM / ld, fits);
    const nn_index block = wanted < LEAST_WINDOWS ? least(LEAST_WINDOWS, fits) : wanted;
    assert(block > 0);
    return (windows){.depth = depth, .K = K, .ld = ld,
                     .block = block < height_of_tile ? block : block / height_of_tile * height_of_tile};
}
#define WINDOWS_OF(w, op, precision)                                                                                  \
    windows w = windows_of(op->size_h * op->size_w * (op->channels / op->groups), op->channels / op->groups,         \
                           run->table->mr[precision]);                                                                \
    w.height = op->height, w.width = op->width, w.channels = op->channels, w.size_h = op->size_h;                     \
    w.size_w = op->size_w, w.stride_h = op->stride_h, w.stride_w = op->stride_w, w.dilation_h = op->dilation_h;       \
    w.dilation_w = op->dilation_w, w.top = op->top, w.left = op->left, w.out_h = op->out_h, w.out_w = op->out_w

INLINE void copy_reals(real *to, const real *from, nn_index n) {
    for (nn_index i = 0; i < n; i += LANES) store_some(to + i, n - i, load_some(from + i, n - i));
}
INLINE void clear_reals(real *to, nn_index n) {
    for (nn_index i = 0; i < n; i += LANES) store_some(to + i, n - i, (vf){0});
}
INLINE nn_index clamp(nn_index x, nn_index low, nn_index high) { return x < low ? low : x > high ? high : x; }

/* Of windows from number `first` of a batch on: how many lie in x as they are, from *x on and *lda apart; 0: the next
 * *count do not. */
INLINE nn_index windows_in_place(const windows *w, const real **x, nn_index first, nn_index *count, nn_index *lda) {
    const nn_index step = w->stride_w * w->channels, row = first / w->out_w, at = first % w->out_w;
    const int whole_rows = w->size_w == 1 || (w->dilation_w == 1 && w->depth == w->channels);
    if (w->size_h > 1 || !whole_rows) return 0;
    *lda = step;
    if (w->size_w == 1 && w->stride_h == 1 && w->stride_w == 1 && w->height == w->out_h && w->width == w->out_w) {
        *x += first * w->channels;
        return *count;
    }
    const nn_index inner = ceil_div(w->left, w->stride_w);                    /* the first that begins in the row */
    const nn_index end = w->width + w->left < w->size_w ? 0
                         : least((w->width + w->left - w->size_w) / w->stride_w + 1, w->out_w); /* … that leaves it */
    if (end <= inner) return 0;
    if (at < inner || at >= end) {
        *count = least(*count, at < inner ? inner - at : w->out_w - at + inner);
        return 0;
    }
    const nn_index sample = row / w->out_h, h = row % w->out_h * w->stride_h;
    *x += ((sample * w->height + h) * w->width + at * w->stride_w - w->left) * w->channels;
    return least(*count, end - at);
}

/* Row r of P (count,ld): window first + r of the batch x, of `depth` channels. */
static void copy_windows(const windows *w, const real *x, nn_index first, nn_index count, real *P) {
    const nn_index depth = w->depth, channels = w->channels, width = w->width, size_w = w->size_w;
    const nn_index line = size_w * depth, image = w->height * width * channels;
    const int in_one = depth == channels && w->dilation_w == 1;
    nn_index ow = first % w->out_w, oh = first / w->out_w % w->out_h;
    x += first / w->out_w / w->out_h * image;
    for (nn_index r = 0; r < count; r++, P += w->ld) {
        const nn_index w0 = ow * w->stride_w - w->left;
        const nn_index from = clamp(-w0, 0, size_w), to = clamp(width - w0, from, size_w);
        nn_index h = oh * w->stride_h - w->top;
        real *p = P;
        for (nn_index i = 0; i < w->size_h; i++, p += line, h += w->dilation_h) {
            const real *const row = x + h * width * channels;
            if (h < 0 || h >= w->height)
                clear_reals(p, line);
            else if (in_one && to - from == size_w)
                copy_reals(p, row + w0 * channels, line);
            else if (in_one) {
                clear_reals(p, from * depth);
                copy_reals(p + from * depth, row + (w0 + from) * channels, (to - from) * depth);
                clear_reals(p + to * depth, (size_w - to) * depth);
            } else
                for (nn_index j = 0; j < size_w; j++) {
                    const nn_index at = w0 + j * w->dilation_w;
                    if (at < 0 || at >= width)
                        clear_reals(p + j * depth, depth);
                    else
                        copy_reals(p + j * depth, row + at * channels, depth);
                }
        }
        if (++ow < w->out_w) continue;
        ow = 0;
        if (++oh < w->out_h) continue;
        oh = 0;
        x += image;
    }
}

/* Windows from `first` on as rows lda apart, in place or in P; *count: how many of those that were wanted. */
INLINE const real *window_rows(const windows *w, const real *x, nn_index first, nn_index *count, real *P, nn_index *lda) {
    const nn_index there = windows_in_place(w, &x, first, count, lda);
    if (there) {
        *count = there;
        return x;
    }
    *count = least(*count, w->block);
    *lda = w->ld;
    copy_windows(w, x, first, *count, P);
    return P;
}

INLINE real *window_scratch(const nn_run *run, void *scratch) {
    return (real *)((char *)scratch + run->table->gemm_scratch);
}

SPAN(convolve) {
    const nn_index depth = op->channels / op->groups, n = op->n / op->groups;
    const int precision = run->table->precision_for((int)op->precision, 0, op->size_h * op->size_w * depth, n);
    WINDOWS_OF(w, op, precision);
    real *const P = window_scratch(run, scratch), *const Z = at(run, op->Z, 0);
    for (nn_index end = first + count; first < end; first += count)
        for (nn_index group = 0; group < op->groups; group++) {
            count = end - first;
            nn_index lda;
            const real *const A = window_rows(&w, (real *)at(run, op->X, 0) + group * depth, first, &count, P, &lda);
            const nn_index column = group * n, place = first * op->n + column;
            const nn_gemm g = {
                .M = count, .N = n, .K = w.K, .A = A, .a_row = lda, .a_col = 1,
                .B = at(run, op->W, column), .b_row = op->n, .b_col = 1, .packed = at(run, op->packed, 0),
                .bias = at(run, op->b, column), .C = at(run, op->Y, place), .ldc = op->n,
                .Z = Z ? Z + place : NULL, .ldz = op->n, .part = op->groups > 1, .activation = (int)op->function,
                .parameters = op->parameters, .scratch = scratch,
            };
            run->table->gemm[precision](&g);
        }
}

SPAN(convolve_weights) {
    const nn_index depth = op->channels / op->groups, n = op->n / op->groups, per = op->out_h * op->out_w;
    WINDOWS_OF(w, op, NN_PRECISION_highest);
    real *const P = window_scratch(run, scratch);
    for (nn_index end = first + count; first < end; first += op->samples) {
        real *const dW = at(run, op->dW, first / op->samples * w.K * op->n);
        const nn_index last = least(end, first + op->samples) * per;
        for (nn_index p = first * per, rows = 0; p < last; p += rows)
            for (nn_index group = 0; group < op->groups; group++) {
                rows = last - p;
                nn_index lda;
                const real *const A = window_rows(&w, (real *)at(run, op->X, 0) + group * depth, p, &rows, P, &lda);
                const nn_gemm g = {
                    .M = w.K, .N = n, .K = rows, .A = A, .a_row = 1, .a_col = lda,
                    .B = at(run, op->dY, p * op->n + group * n), .b_row = op->n, .b_col = 1,
                    .C = dW + group * n, .ldc = op->n, .add = p > first * per, .part = op->groups > 1,
                    .activation = NN_ACTIVATION_linear, .scratch = scratch,
                };
                run->table->gemm[run->table->precision_for((int)op->precision, w.K, rows, n)](&g);
            }
    }
}

/* Rows h of dX (height,width,channels), of `depth` channels, += what the windows [p,p + count) of a sample, whose rows
 * P (count,ld) holds, have of their places: whole rows of windows, or a part of one. */
static void add_windows(const windows *w, const real *P, nn_index p, nn_index count, real *dX) {
    enum { TERMS = 64 };
    const nn_index first = p / w->out_w, last = (p + count - 1) / w->out_w, depth = w->depth;
    const nn_index from = first == last ? p % w->out_w : 0, to = first == last ? from + count : w->out_w;
    const nn_index reach_h = (w->size_h - 1) * w->dilation_h, reach_w = (w->size_w - 1) * w->dilation_w;
    const nn_index top = clamp(first * w->stride_h - w->top, 0, w->height);
    const nn_index bottom = clamp(last * w->stride_h - w->top + reach_h + 1, top, w->height);
    const nn_index left = clamp(from * w->stride_w - w->left, 0, w->width);
    const nn_index right = clamp((to - 1) * w->stride_w - w->left + reach_w + 1, left, w->width);
    for (nn_index h = top; h < bottom; h++)
        for (nn_index at = left; at < right; at++) {
            const real *terms[TERMS];
            nn_index found = 0;
            real *const y = dX + (h * w->width + at) * w->channels;
            for (nn_index i = 0; i < w->size_h; i++) {
                const nn_index down = h + w->top - i * w->dilation_h, oh = down / w->stride_h;
                if (down < 0 || oh < first || oh > last || down % w->stride_h) continue;
                for (nn_index j = 0; j < w->size_w; j++) {
                    const nn_index along = at + w->left - j * w->dilation_w, ow = along / w->stride_w;
                    if (along < 0 || ow < from || ow >= to || along % w->stride_w) continue;
                    if (found == TERMS) {
                        VECTORS(c, more, depth, {
                            vf sum = load_some(y + c, more);
                            for (nn_index t = 0; t < TERMS; t++) sum += load_some(terms[t] + c, more);
                            store_some(y + c, more, sum);
                        });
                        found = 0;
                    }
                    terms[found++] = P + (oh * w->out_w + ow - p) * w->ld + (i * w->size_w + j) * depth;
                }
            }
            VECTORS(c, more, depth, {
                vf sum = load_some(y + c, more);
                for (nn_index t = 0; t < found; t++) sum += load_some(terms[t] + c, more);
                store_some(y + c, more, sum);
            });
        }
}

SPAN(convolve_transposed) {
    const nn_index depth = op->channels / op->groups, n = op->n / op->groups, per = op->out_h * op->out_w;
    const nn_index image = op->height * op->width;
    const int precision = run->table->precision_for((int)op->precision, 0, n, op->size_h * op->size_w * depth);
    WINDOWS_OF(w, op, precision);
    const nn_index band = w.block < w.out_w ? w.block : w.block / w.out_w * w.out_w; /* windows at a time */
    const real *const bias = at(run, op->b, 0);
    real *const P = window_scratch(run, scratch);
    for (nn_index end = first + count; first < end; first++) {
        real *const dX = at(run, op->dX, first * image * op->channels);
        for (nn_index i = 0; bias && i < image; i++) copy_reals(dX + i * op->channels, bias, op->channels);
        if (!bias) clear_reals(dX, image * op->channels);
        for (nn_index p = 0, rows = 0; p < per; p += rows) {
            rows = least(band, w.block < w.out_w ? w.out_w - p % w.out_w : per - p);
            for (nn_index group = 0; group < op->groups; group++) {
                const nn_gemm g = {
                    .M = rows, .N = w.K, .K = n, .A = at(run, op->dY, (first * per + p) * op->n + group * n),
                    .a_row = op->n, .a_col = 1, .B = at(run, op->W, group * n * w.K), .b_row = w.K, .b_col = 1,
                    .packed = at(run, op->packed, 0), .C = P, .ldc = w.ld, .activation = NN_ACTIVATION_linear,
                    .scratch = scratch,
                };
                run->table->gemm[precision](&g);
                add_windows(&w, P, p, rows, dX + group * depth);
            }
        }
        const real *const saved = at(run, op->saved, first * image * op->channels);
        if (saved)
            run->table->activate_backward[op->function](1, image * op->channels, saved, image * op->channels, dX,
                                                        image * op->channels, dX, image * op->channels, op->parameters);
    }
}

#endif
