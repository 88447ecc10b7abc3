/* depthwise.h: windows that slide over images, a kernel of its own for each channel.
 *
 * Each output is b + Σ X ⊙ W over the places of its window that lie inside, rows first, in their order; so is each
 * place of dX over the outputs that see it, with the kernel reversed: where windows move by more than one place, places
 * that lie as far from one another see every so many places of the kernel, and are computed together (a phase).
 * Vectors go over channels; CHANNEL_SUMS neighbours along a row are done side by side, so that weights are loaded once,
 * and with three places in a row inputs, too.
 */
#ifndef NNCORE_DEPTHWISE_H
#define NNCORE_DEPTHWISE_H

#include "operations/affine.h"
#include "operations/span.h"
#include "operations/windows.h"
#include "vectors/lanes.h"

enum { CHANNEL_SUMS = 8 };

/* Along one axis: `count` sums; sum p has terms at first + p step + t tap_step, 0 ≤ t < taps, as far as these lie in
 * [0,length). `weight`, `weight_step`: which place of the kernel is that of t = 0, and how far the next one is. */
typedef struct channel_axis {
    nn_index count, first, step, taps, tap_step, length, weight, weight_step;
} channel_axis;

/* Of a ≤ 0: 0; by 1, the usual case, a division would be a tenth of a row's time. */
INLINE nn_index divided_up(nn_index a, nn_index b) { return a <= 0 ? 0 : b == 1 ? a : (a + b - 1) / b; }

/* The terms t of sum p that lie inside: from `*from` to `*end`, perhaps none. */
INLINE void channel_terms_inside(const channel_axis *a, nn_index p, nn_index *from, nn_index *end) {
    const nn_index at = a->first + p * a->step, last = a->taps;
    *from = divided_up(-at, a->tap_step), *end = divided_up(a->length - at, a->tap_step);
    if (*end > last) *end = last;
    if (*from > *end) *from = *end;
}

/* The sums whose terms all lie inside. */
INLINE void channel_sums_inside(const channel_axis *a, nn_index *from, nn_index *end) {
    *from = divided_up(-a->first, a->step);
    *end = divided_up(a->length - (a->taps > 0 ? (a->taps - 1) * a->tap_step : 0) - a->first, a->step);
    if (*end > a->count) *end = a->count;
    if (*from > *end) *from = *end;
}

/* Forward: the outputs. */
INLINE channel_axis channel_axis_forward(window_axis a) {
    return (channel_axis){a.out, -a.before, a.stride, a.size, a.dilation, a.length, 0, 1};
}

/* Backward: of the places phase, phase + stride, …, the outputs that see them. Place i is place k of the window of
 * output o where i + before = o stride + k dilation. */
static channel_axis channel_axis_backward(window_axis a, nn_index phase) {
    nn_index apart = 1, k = 0; /* places of the kernel that a phase sees lie so far apart; the first of them */
    while (apart * a.dilation % a.stride) apart++;
    while (k < apart && (phase + a.before - k * a.dilation) % a.stride) k++;
    const nn_index taps = k < apart ? divided_up(a.size - k, apart) : 0, tap_step = apart * a.dilation / a.stride;
    const nn_index last = taps > 0 ? taps - 1 : 0;
    return (channel_axis){
        .count = divided_up(a.length - phase, a.stride), .step = 1, .taps = taps, .tap_step = tap_step, .length = a.out,
        .first = taps > 0 ? (phase + a.before - k * a.dilation) / a.stride - last * tap_step : 0,
        .weight = k + last * apart, .weight_step = -apart,
    };
}

/* What the sums of a row read: `rows` terms down, x_row and w_row elements apart; of each, terms across. */
typedef struct channel_terms {
    nn_index n, rows, x_row, w_row, taps, x_tap, w_tap, x_step, y_step; /* …_step: from one sum to the next */
    const real *b, *affine; /* (n), (3,n), or NULL */
    nn_ahead *ahead;
} channel_terms;

/* `sums` of them; `three`: terms across are three, and neighbours share them. `before`, `behind`: but the first one's
 * first term lies before the row, the last one's last behind it. */
INLINE void sum_channels(int sums, int three, int before, int behind, const channel_terms *t, const real *x,
                         const real *w, real *y) {
    const nn_index n = t->n, x_step = t->x_step, y_step = t->y_step;
    nn_fetching ahead = nn_take_ahead(t->ahead, 2 * t->rows * divided_up(n, LANES), VECTOR_BYTES, x);
    VECTORS(j, left, n, {
        const vf start = t->b ? load_some(t->b + j, left) : (vf){0};
        vf sum[CHANNEL_SUMS];
        _Pragma("GCC unroll 8") for (int p = 0; p < sums; p++) sum[p] = start;
        const real *xr = x + j;
        const real *wr = w + j;
        for (nn_index i = 0; i < t->rows; i++, xr += t->x_row, wr += t->w_row) {
            nn_fetch(&ahead), nn_fetch(&ahead);
            if (three) {
                const vf w0 = load_some(wr, left), w1 = load_some(wr + t->w_tap, left);
                const vf w2 = load_some(wr + 2 * t->w_tap, left);
                _Pragma("GCC unroll 10") for (int p = before; p < sums + 2 - behind; p++) {
                    const vf v = load_some(xr + p * n, left);
                    if (p < sums) sum[p] += v * w0;
                    if (0 < p && p <= sums) sum[p - 1] += v * w1;
                    if (1 < p) sum[p - 2] += v * w2;
                }
            } else {
                const real *xk = xr;
                const real *wk = wr;
                for (nn_index k = 0; k < t->taps; k++, xk += t->x_tap, wk += t->w_tap) {
                    const vf v = load_some(wk, left);
                    _Pragma("GCC unroll 8") for (int p = 0; p < sums; p++)
                        sum[p] += load_some(xk + p * x_step, left) * v;
                }
            }
        }
        if (t->affine) {
            const affine a = affine_at(t->affine, n);
            _Pragma("GCC unroll 8") for (int p = 0; p < sums; p++) sum[p] = affine_vector(&a, j, left, sum[p]);
        }
        _Pragma("GCC unroll 8") for (int p = 0; p < sums; p++) store_some(y + p * y_step + j, left, sum[p]);
    });
}

/* `count` sums of a row, which have the same terms, but for what lies before and behind it: x, w, y are those of the
 * first. */
static void sum_channels_of(const channel_terms *t, nn_index count, int before, int behind, const real *x,
                            const real *w, real *y) {
    const int three = t->taps == 3 && t->x_step == t->n && t->x_tap == t->n;
#define RUN(sums)                                                                                                     \
    for (; count >= (sums); count -= (sums), x += (sums) * t->x_step, y += (sums) * t->y_step, before = 0) {          \
        const int last = behind && count == (sums);                                                                   \
        if (!three)                                                                                                   \
            sum_channels(sums, 0, 0, 0, t, x, w, y);                                                                  \
        else if (before)                                                                                              \
            last ? sum_channels(sums, 1, 1, 1, t, x, w, y) : sum_channels(sums, 1, 1, 0, t, x, w, y);                 \
        else                                                                                                          \
            last ? sum_channels(sums, 1, 0, 1, t, x, w, y) : sum_channels(sums, 1, 0, 0, t, x, w, y);                 \
    }
    RUN(8)
    RUN(4)
    RUN(2)
    RUN(1)
#undef RUN
}

/* A row of sums, row p of `down`, from x (down.length,across.length,n) and w (…,w_width,n); sums stand `apart` places
 * from one another. */
static void sum_channels_row(const channel_axis *down, const channel_axis *across, nn_index p, nn_index n,
                             nn_index w_width, nn_index apart, const real *x, const real *w, const real *b,
                             const real *affine, nn_ahead *ahead, real *y) {
    nn_index top, bottom, inner, outer, k0, k1;
    channel_terms_inside(down, p, &top, &bottom);
    channel_sums_inside(across, &inner, &outer);
    const nn_index x_row = across->length * n, w_row = w_width * n;
    const nn_index row = down->first + p * down->step + top * down->tap_step;
    channel_terms t = {
        .n = n, .rows = across->taps ? bottom - top : 0, .x_row = down->tap_step * x_row,
        .w_row = down->weight_step * w_row, .x_tap = across->tap_step * n, .w_tap = across->weight_step * n,
        .x_step = across->step * n, .y_step = apart * n, .b = b, .affine = affine, .ahead = ahead,
    };
    const real *const xr = t.rows ? x + row * x_row : x;
    const real *const wr = t.rows ? w + (down->weight + top * down->weight_step) * w_row + across->weight * n : w;
    if (across->taps == 3 && across->step == 1 && across->tap_step == 1 && inner < outer && inner <= 1 &&
        across->count - outer <= 1) { /* the usual case, at one go */
        t.taps = 3;
        sum_channels_of(&t, across->count, inner == 1, outer < across->count, xr + across->first * n, wr, y);
        return;
    }
    for (nn_index q = 0; q < across->count; q++) {
        const int whole = q == inner && inner < outer;
        channel_terms_inside(across, q, &k0, &k1);
        t.taps = k1 - k0;
        const nn_index at = t.taps && t.rows ? across->first + q * across->step + k0 * across->tap_step : 0;
        sum_channels_of(&t, whole ? outer - inner : 1, 0, 0, xr + at * n, wr + k0 * t.w_tap, y + q * t.y_step);
        if (whole) q = outer - 1;
    }
}

SPAN(depthwise_forward) {
    const nn_index n = op->n, row = op->out_w * n, image = op->height * op->width * n;
    const channel_axis down = channel_axis_forward(WINDOWS_DOWN(op));
    const channel_axis across = channel_axis_forward(WINDOWS_ACROSS(op));
    const real *W = at(run, op->W, 0), *b = at(run, op->b, 0), *affine = at(run, op->affine, 0);
    for (nn_index i = first; i < first + count; i++) {
        real *y = at(run, op->Y, i * row), *z = at(run, op->Z, i * row), *sums = z ? z : y;
        sum_channels_row(&down, &across, i % op->out_h, n, op->size_w, 1,
                at(run, op->X, i / op->out_h * image), W, b, affine, nn_ahead_at(run, scratch), sums);
        run->table->activate[op->function](1, row, sums, row, y, row, op->parameters);
    }
}

/* Of an image, row i of dX. */
INLINE void depthwise_backward_row(const nn_op_depthwise_backward *op, const nn_run *run, nn_index i, const real *W,
                         const real *dy, const real *saved, nn_ahead *ahead, real *dx) {
    const nn_index n = op->n, row = op->width * n, stride = op->stride_w;
    const channel_axis down = channel_axis_backward(WINDOWS_DOWN(op), i % op->stride_h);
    for (nn_index phase = 0; phase < stride && phase < op->width; phase++) {
        const channel_axis across = channel_axis_backward(WINDOWS_ACROSS(op), phase);
        sum_channels_row(&down, &across, i / op->stride_h, n, op->size_w, stride, dy, W, NULL, NULL, ahead,
                dx + i * row + phase * n);
    }
    if (saved)
        run->table->activate_backward[op->function](1, row, saved + i * row, row, dx + i * row, row, dx + i * row, row,
                                                    op->parameters);
}

/* To dw (rows,w_row) its terms of `count` outputs, which see rows × taps places inside: those of one row are summed
 * before they are added. */
INLINE void add_channel_products(int rows, int taps, nn_index n, nn_index count, const real *x, nn_index x_row,
                                 nn_index x_tap, nn_index x_step, const real *dy, nn_index w_row, real *dw) {
    VECTORS(j, left, n, {
        vf sum[3][4] = {{{0}}};
        const real *xj = x + j;
        const real *dj = dy + j;
        for (nn_index q = 0; q < count; q++, xj += x_step, dj += n) {
            const vf d = load_some(dj, left);
            _Pragma("GCC unroll 3") for (int r = 0; r < rows; r++)
                _Pragma("GCC unroll 4") for (int k = 0; k < taps; k++)
                    sum[r][k] += load_some(xj + r * x_row + k * x_tap, left) * d;
        }
        _Pragma("GCC unroll 3") for (int r = 0; r < rows; r++)
            _Pragma("GCC unroll 4") for (int k = 0; k < taps; k++) {
                real *to = dw + r * w_row + k * n + j;
                store_some(to, left, load_some(to, left) + sum[r][k]);
            }
    });
}

/* The same of any number of rows and taps. */
static void add_channel_products_of(nn_index rows, nn_index taps, nn_index n, nn_index count, const real *x,
                                    nn_index x_row, nn_index x_tap, nn_index x_step, const real *dy, nn_index w_row,
                                    real *dw) {
    nn_index some, wide; /* done at a time */
    for (nn_index r = 0; r < rows; r += some) {
        some = rows - r >= 3 ? 3 : rows - r;
        for (nn_index k = 0; k < taps; k += wide) {
            const real *xk = x + r * x_row + k * x_tap;
            real *to = dw + r * w_row + k * n;
            wide = taps - k >= 3 ? 3 : taps - k;
#define PRODUCTS(rows, taps)                                                                                          \
    if (some == (rows) && wide == (taps))                                                                             \
        add_channel_products(rows, taps, n, count, xk, x_row, x_tap, x_step, dy, w_row, to);
            PRODUCTS(3, 3)
            PRODUCTS(2, 3)
            PRODUCTS(1, 3)
            PRODUCTS(3, 2)
            PRODUCTS(2, 2)
            PRODUCTS(1, 2)
            PRODUCTS(3, 1)
            PRODUCTS(2, 1)
            PRODUCTS(1, 1)
#undef PRODUCTS
        }
    }
}

/* What row i of the outputs of an image adds to dW. */
INLINE void depthwise_weights_row(const nn_op_depthwise_backward *op, nn_index i, const channel_axis *down,
                                  const channel_axis *across, const real *x, const real *dy, real *dw) {
    const nn_index n = op->n, x_row = op->width * n, w_row = op->size_w * n;
    nn_index top, bottom, inner, outer, k0, k1;
    channel_terms_inside(down, i, &top, &bottom);
    channel_sums_inside(across, &inner, &outer);
    if (top == bottom) return;
    x += (down->first + i * down->step + top * down->tap_step) * x_row;
    for (nn_index q = 0; q < across->count; q++) {
        const int whole = q == inner && inner < outer;
        channel_terms_inside(across, q, &k0, &k1);
        if (k0 < k1)
            add_channel_products_of(bottom - top, k1 - k0, n, whole ? outer - inner : 1,
                            x + (across->first + q * across->step + k0 * across->tap_step) * n,
                            down->tap_step * x_row, across->tap_step * n, across->step * n, dy + q * n, w_row,
                            dw + top * w_row + k0 * n);
        if (whole) q = outer - 1;
    }
}

/* db += Σ of a row of dY, SIDE places side by side. */
INLINE void add_channel_sums(nn_index n, nn_index count, const real *dy, real *db) {
    VECTORS(j, left, n, {
        vf sum[SIDE] = {{0}};
        for (nn_index q = 0; q < count; q += SIDE)
            EACH(k, SIDE) if (q + k < count) sum[k] += load_some(dy + (q + k) * n + j, left);
        store_some(db + j, left, load_some(db + j, left) + ((sum[0] + sum[1]) + (sum[2] + sum[3])));
    });
}

SPAN(depthwise_backward) {
    const nn_index n = op->n, size = op->size_h * op->size_w * n, row = op->out_w * n;
    const nn_index image = op->height * op->width * n, output = op->out_h * row;
    const channel_axis down = channel_axis_forward(WINDOWS_DOWN(op));
    const channel_axis across = channel_axis_forward(WINDOWS_ACROSS(op));
    const real *W = at(run, op->W, 0);
    for (nn_index s = first; s < first + count; s++) {
        const real *x = at(run, op->X, s * image), *dy = at(run, op->dY, s * output);
        const real *saved = at(run, op->saved, s * image);
        real *dx = at(run, op->dX, s * image);
        real *dw = at(run, op->dW, s / op->chunk * size), *db = at(run, op->db, s / op->chunk * n);
        if (dw && s % op->chunk == 0) memset(dw, 0, (size_t)size * sizeof(real));
        if (db && s % op->chunk == 0) memset(db, 0, (size_t)n * sizeof(real));
        nn_index done = 0; /* rows of dX, which are done beside those of dY, while both are in cache */
        for (nn_index i = 0; i < op->out_h; i++) {
            if (dw) depthwise_weights_row(op, i, &down, &across, x, dy + i * row, dw);
            if (db) add_channel_sums(n, op->out_w, dy + i * row, db);
            for (; dx && done < (i + 1) * op->height / op->out_h; done++)
                depthwise_backward_row(op, run, done, W, dy, saved, nn_ahead_at(run, scratch), dx);
        }
    }
}

#endif
