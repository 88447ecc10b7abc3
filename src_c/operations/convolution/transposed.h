/* transposed.h: convolutions backward, in general: each element of Y gives to the places of its window.
 *
 * Order: an element of dX adds up, for each band of lines of windows, its places in these, size_h and size_w
 * ascending. Bands are cut by the sizes alone.
 */
#ifndef NNCORE_TRANSPOSED_H
#define NNCORE_TRANSPOSED_H

#include "operations/convolution/convolution.h"

/* Of windows `from` … `to` − 1 along an axis those that a place is in, which lies `at` from where window 0
 * begins: it is place `first` of `window`, then that `step` places further on of one before, and so on, `count`
 * times. */
typedef struct found {
    nn_index first, window, count;
} found;
INLINE found windows_at(nn_index at, nn_index size, nn_index stride, nn_index dilation, nn_index step,
                        nn_index from, nn_index to) {
    const nn_index late = at - (to - 1) * stride, early = at - from * stride;
    nn_index first = late <= 0 ? 0 : dilation == 1 ? late : ceil_div(late, dilation);
    const nn_index end = early < 0 ? 0 : least(size, (dilation == 1 ? early : early / dilation) + 1);
    if (stride == 1) return (found){first, at - first * dilation, end > first ? end - first : 0};
    while (first < end && (at - first * dilation) % stride) first++;
    return (found){first, (at - first * dilation) / stride, end > first ? ceil_div(end - first, step) : 0};
}
static nn_index common_divisor(nn_index a, nn_index b) {
    while (b) {
        const nn_index rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/* dX (height,width,channels), of `depth` channels, += what the windows [p,p + count) of a sample, which are the rows
 * of P (count,ld), have of its places: whole rows of windows, or a part of one. */
static void add_windows(const convolution *v, nn_index p, nn_index count, real *dX) {
    const nn_index first = p / v->w.out, last = (p + count - 1) / v->w.out, depth = v->depth, ld = v->ld;
    const nn_index from = first == last ? p % v->w.out : 0, to = first == last ? from + count : v->w.out;
    const nn_index top = clamp(first * v->h.stride - v->h.before, 0, v->h.length);
    const nn_index bottom = clamp(last * v->h.stride - v->h.before + v->reach_h, top, v->h.length);
    const nn_index left = clamp(from * v->w.stride - v->w.before, 0, v->w.length);
    const nn_index right = clamp((to - 1) * v->w.stride - v->w.before + v->reach_w, left, v->w.length);
    const nn_index common_h = common_divisor(v->h.stride, v->h.dilation), step_h = v->h.stride / common_h;
    const nn_index common_w = common_divisor(v->w.stride, v->w.dilation), step_w = v->w.stride / common_w;
    const nn_index next_h = step_h * v->w.size * depth - v->h.dilation / common_h * v->w.out * ld;
    const nn_index next_w = step_w * depth - v->w.dilation / common_w * ld;
    for (nn_index h = top; h < bottom; h++) {
        const found i = windows_at(h + v->h.before, v->h.size, v->h.stride, v->h.dilation, step_h, first, last + 1);
        const real *const row = v->P + (i.window * v->w.out - p) * ld + i.first * v->w.size * depth;
        for (nn_index at = left; at < right && i.count; at++) {
            const found j = windows_at(at + v->w.before, v->w.size, v->w.stride, v->w.dilation, step_w, from, to);
            const real *const terms = row + j.window * ld + j.first * depth;
            real *const y = dX + (h * v->w.length + at) * v->channels;
            VECTORS(c, more, depth, {
                vf sum = load_some(y + c, more);
                const real *line = terms + c;
                for (nn_index k = 0; k < i.count; k++, line += next_h) {
                    const real *term = line;
                    for (nn_index l = 0; l < j.count; l++, term += next_w) sum += load_some(term, more);
                }
                store_some(y + c, more, sum);
            });
        }
    }
}

SPAN(convolve_transposed) {
    const nn_index depth = op->channels / op->groups, n = op->n / op->groups, per = op->out_h * op->out_w;
    const nn_index image = op->height * op->width;
    const nn_index K = op->size_h * op->size_w * depth;
    const int precision = run->table->precision_for((int)op->precision, NN_MANY_ROWS, n, K);
    CONVOLUTION_OF(v, op, run->table->mr[precision]);
    const nn_index together = v.rows < v.w.out ? v.rows : v.rows / v.w.out * v.w.out; /* windows at a time */
    const real *const bias = at(run, op->b, 0);
    for (nn_index end = first + count; first < end; first++) {
        real *const dX = at(run, op->dX, first * image * op->channels);
        const real *const saved = at(run, op->saved, first * image * op->channels);
        for (nn_index i = 0; bias && i < image; i++) copy_reals(dX + i * op->channels, bias, op->channels);
        if (!bias) clear_reals(dX, image * op->channels);
        for (nn_index p = 0, rows = 0; p < per; p += rows) {
            rows = least(together, v.rows < v.w.out ? v.w.out - p % v.w.out : per - p);
            for (nn_index group = 0; group < op->groups; group++) {
                const nn_gemm g = {
                    .M = rows, .N = v.K, .K = n, .A = at(run, op->dY, (first * per + p) * op->n + group * n),
                    .a_row = op->n, .a_col = 1, .B = at(run, op->W, group * n * v.K), .b_row = v.K, .b_col = 1,
                    .packed = at(run, op->packed, 0), .C = v.P, .ldc = v.ld, .activation = NN_ACTIVATION_linear,
                    .scratch = scratch, .ahead = nn_ahead_at(run, scratch),
                };
                run->table->gemm[precision](&g);
                add_windows(&v, p, rows, dX + group * depth);
            }
        }
        const nn_index size = image * op->channels;
        if (saved)
            run->table->activate_backward[op->function](1, size, saved, size, dX, size, dX, size, op->parameters);
    }
}

#endif
