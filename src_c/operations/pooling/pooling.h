/* pooling.h: the largest, the sum or the mean of windows of images.
 *
 *     Y[o,p,c] = max, Σ or mean of X[i,k,c] over the places (i,k) of window (o,p)
 *
 * Channels lie side by side, so a vector holds channels of a place. A window's terms are taken row by row, whatever
 * lies around it. dX is written by windows, each to its own places; where windows share places, dX is 0 first and they
 * add to it, one after another: bands of dX are then whole samples, else what belongs to one row of windows.
 */
#ifndef NNCORE_POOLING_H
#define NNCORE_POOLING_H

#include "operations/span.h"
#include "operations/windows.h"
#include "vectors/lanes.h"

/* Of an axis, those of a window. */
typedef struct places { nn_index from, to; } places;

INLINE places places_of(window_axis a, nn_index o) {
    if (a.size == 0) return (places){o * a.length / a.out, ((o + 1) * a.length + a.out - 1) / a.out};
    const nn_index from = o * a.stride - a.before, to = from + a.size;
    return (places){from > 0 ? from : 0, to < a.length ? to : a.length};
}

typedef struct windows { nn_index n; window_axis y, x; } windows;

#define WINDOWS_OF(op) ((windows){(op)->n, WINDOWS_DOWN(op), WINDOWS_ACROSS(op)})

/* A window: its rows and columns, and elements from one of its rows to the next. */
typedef struct window { nn_index rows, columns, line, n; } window;

/* for (each of its places): `at`, in elements from its first one */
#define EACH_PLACE(w, i, k, at)                                                                                       \
    for (nn_index i = 0; i < (w).rows; i++)                                                                          \
        for (nn_index k = 0, at = i * (w).line; k < (w).columns; k++, at += (w).n)

/* `body` for the vectors of a place's channels, several side by side or one: from element j on, so many `vectors`, of
 * which the last has `left` elements. */
#define CHANNELS(n, j, vectors, left, ...)                                                                           \
    do {                                                                                                             \
        nn_index j = 0;                                                                                              \
        for (; j + SIDE * LANES <= (n); j += SIDE * LANES) {                                                         \
            enum { vectors = SIDE, left = LANES };                                                                   \
            __VA_ARGS__                                                                                              \
        }                                                                                                            \
        for (; j + LANES <= (n); j += LANES) {                                                                       \
            enum { vectors = 1, left = LANES };                                                                      \
            __VA_ARGS__                                                                                              \
        }                                                                                                            \
        if (j < (n)) {                                                                                               \
            enum { vectors = 1 };                                                                                    \
            const nn_index left = (n) - j;                                                                           \
            __VA_ARGS__                                                                                              \
        }                                                                                                            \
    } while (0)

enum { LARGEST, TOTAL };

INLINE vf joined(int which, vf made, vf more) { return which == LARGEST ? vlarger(made, more) : made + more; }

INLINE void pool_window(int which, window w, real scale, const real *x, real *y) {
    CHANNELS(w.n, j, vectors, left, {
        vf made[SIDE];
        EACH(v, vectors) made[v] = load_some(x + j + v * LANES, left);
        EACH_PLACE(w, i, k, at) {
            if (i + k == 0) continue;
            EACH(v, vectors) made[v] = joined(which, made[v], load_some(x + at + j + v * LANES, left));
        }
        EACH(v, vectors) store_some(y + j + v * LANES, left, which == LARGEST ? made[v] : made[v] * scale);
    });
}

/* Of few channels and many places: a vector holds several places, which are joined last. */
INLINE int narrow(window w) { return 2 * w.n <= LANES && w.columns * w.n >= 2 * SIDE * LANES; }

static void pool_narrow(int which, window w, real scale, const real *x, real *y) {
    const nn_index lanes = LANES / w.n * w.n, end = w.columns * w.n;
    const vf none = vset(which == LARGEST ? -REAL(INFINITY) : 0);
    vf made[SIDE];
    real each[LANES];
    EACH(v, SIDE) made[v] = none;
    for (nn_index i = 0; i < w.rows; i++, x += w.line) {
        nn_index j = 0;
        for (; j + SIDE * lanes <= end; j += SIDE * lanes)
            EACH(v, SIDE) made[v] = joined(which, made[v], keep_some(load_some(x + j + v * lanes, lanes), lanes, none));
        for (; j < end; j += lanes) {
            const nn_index left = end - j < lanes ? end - j : lanes;
            made[0] = joined(which, made[0], keep_some(load_some(x + j, left), left, none));
        }
    }
    vstore(each, joined(which, joined(which, made[0], made[1]), joined(which, made[2], made[3])));
    for (nn_index c = 0; c < w.n; c++) {
        vf all = vset(each[c]);
        for (nn_index l = c + w.n; l < lanes; l += w.n) all = joined(which, all, vset(each[l]));
        y[c] = which == LARGEST ? all[0] : all[0] * scale;
    }
}

/* `body` for windows w of a shape; without loops over its places for the most frequent ones, 2 × 2 and 2 in a row. */
#define BY_SHAPE(shape, w, ...)                                                                                      \
    do {                                                                                                             \
        if ((shape).rows == 2 && (shape).columns == 2) {                                                             \
            const window w = {2, 2, (shape).line, (shape).n};                                                        \
            __VA_ARGS__                                                                                              \
        } else if ((shape).rows == 1 && (shape).columns == 2) {                                                      \
            const window w = {1, 2, (shape).line, (shape).n};                                                        \
            __VA_ARGS__                                                                                              \
        } else {                                                                                                     \
            const window w = shape;                                                                                  \
            __VA_ARGS__                                                                                              \
        }                                                                                                            \
    } while (0)

/* A row of windows, in runs of such as have one shape: `count` of them from window p on. */
typedef struct windows_run { nn_index count; window w; places columns; } windows_run;

INLINE windows_run run_from(windows g, places rows, nn_index p) {
    const places columns = places_of(g.x, p);
    windows_run next = {1, {rows.to - rows.from, columns.to - columns.from, g.x.length * g.n, g.n}, columns};
    if (next.w.columns == g.x.size) {
        const nn_index end = (g.x.length + g.x.before - g.x.size) / g.x.stride + 1; /* of those wholly inside */
        next.count = (end < g.x.out ? end : g.x.out) - p;
    }
    if (next.w.columns == g.x.length) next.w.columns *= next.w.rows, next.w.rows = 1; /* places that lie side by side */
    return next;
}

INLINE real scale_of(int mean, window w) { return mean ? 1 / (real)(w.rows * w.columns) : 1; }

/* Rows of Y from `first` on. */
INLINE void pool_rows(int which, int mean, windows g, nn_index first, nn_index count, const real *x, real *y) {
    const nn_index line = g.x.length * g.n, step = g.x.stride * g.n;
    for (nn_index row = first; row < first + count; row++) {
        const places rows = places_of(g.y, row % g.y.out);
        for (nn_index p = 0; p < g.x.out;) {
            const windows_run next = run_from(g, rows, p);
            const real *from = x + (row / g.y.out * g.y.length + rows.from) * line + next.columns.from * g.n;
            const real scale = scale_of(mean, next.w);
            if (narrow(next.w))
                for (nn_index k = 0; k < next.count; k++)
                    pool_narrow(which, next.w, scale, from + k * step, y + k * g.n);
            else
                BY_SHAPE(next.w, w, {
                    for (nn_index k = 0; k < next.count; k++)
                        pool_window(which, w, scale, from + k * step, y + k * g.n);
                });
            p += next.count;
            y += next.count * g.n;
        }
    }
}

SPAN(max_pool) {
    const windows g = WINDOWS_OF(op);
    pool_rows(LARGEST, 0, g, first, count, at(run, op->X, 0), at(run, op->Y, first * op->out_w * op->n));
}

SPAN(sum_pool) {
    const windows g = WINDOWS_OF(op);
    pool_rows(TOTAL, (int)op->mean, g, first, count, at(run, op->X, 0), at(run, op->Y, first * op->out_w * op->n));
}

/* dX of a window: of LARGEST dY where X is Y for the first time (the last place, if none was), of TOTAL dY times a
 * number everywhere. */
INLINE void pool_window_backward(int which, int add, window w, real scale, const real *x, const real *y, const real *dy,
                                 real *dx) {
    CHANNELS(w.n, j, vectors, left, {
        vf top[SIDE], d[SIDE];
        vi open[SIDE];
        EACH(v, vectors) {
            d[v] = load_some(dy + j + v * LANES, left);
            open[v] = ~(vi){0};
            if (which == LARGEST)
                top[v] = load_some(y + j + v * LANES, left);
            else
                d[v] *= scale;
        }
        EACH_PLACE(w, i, k, at) {
            const int last = i == w.rows - 1 && k == w.columns - 1;
            EACH(v, vectors) {
                real *to = dx + at + j + v * LANES;
                vf here = d[v];
                if (which == LARGEST) {
                    const vi smaller = last ? (vi){0} : load_some(x + at + j + v * LANES, left) < top[v];
                    here = (vf)((vi)here & open[v] & ~smaller);
                    open[v] &= smaller;
                }
                store_some(to, left, add ? load_some(to, left) + here : here);
            }
        }
    });
}

/* What is done to dX while it is near: times f′(saved), if there is that. */
typedef struct derivative {
    activate_backward_kernel of;
    const real *saved;
    const double *parameters;
} derivative;

/* Bands of dX from `first` on. */
INLINE void pool_bands(int which, int add, int mean, int clear, windows g, nn_index bands, nn_index first,
                       nn_index count, const real *x, const real *y, const real *dy, real *dx, derivative f) {
    const nn_index line = g.x.length * g.n, each = g.y.out / bands, step = g.x.stride * g.n;
    for (nn_index band = first; band < first + count; band++) {
        const nn_index sample = band / bands, o = band % bands * each, image = sample * g.y.length * line;
        const nn_index from = o == 0 ? 0 : places_of(g.y, o).from;
        const nn_index to = o + each == g.y.out ? g.y.length : places_of(g.y, o + each).from;
        const nn_index begin = image + from * line, size = (to - from) * line;
        if (clear) memset(dx + begin, 0, (size_t)size * sizeof(real));
        nn_index at_y = (sample * g.y.out + o) * g.x.out * g.n;
        for (nn_index row = o; row < o + each; row++) {
            const places rows = places_of(g.y, row);
            for (nn_index p = 0; p < g.x.out;) {
                const windows_run next = run_from(g, rows, p);
                const real scale = scale_of(mean, next.w);
                nn_index at_x = image + rows.from * line + next.columns.from * g.n;
                p += next.count;
                BY_SHAPE(next.w, w, {
                    for (nn_index k = 0; k < next.count; k++, at_x += step, at_y += g.n)
                        pool_window_backward(which, add, w, scale, x + at_x, y + at_y, dy + at_y, dx + at_x);
                });
            }
        }
        if (f.saved) f.of(1, size, f.saved + begin, size, dx + begin, size, dx + begin, size, f.parameters);
    }
}

SPAN(max_pool_backward) {
    const windows g = WINDOWS_OF(op);
    const derivative f = {run->table->activate_backward[op->function], at(run, op->saved, 0), op->parameters};
    const real *x = at(run, op->X, 0), *y = at(run, op->Y, 0), *dy = at(run, op->dY, 0);
    real *dx = at(run, op->dX, 0);
    if (op->add)
        pool_bands(LARGEST, 1, 0, 1, g, op->bands, first, count, x, y, dy, dx, f);
    else
        pool_bands(LARGEST, 0, 0, (int)op->clear, g, op->bands, first, count, x, y, dy, dx, f);
}

SPAN(sum_pool_backward) {
    const windows g = WINDOWS_OF(op);
    const derivative f = {run->table->activate_backward[op->function], at(run, op->saved, 0), op->parameters};
    const int mean = (int)op->mean, clear = (int)op->clear;
    const real *dy = at(run, op->dY, 0);
    real *dx = at(run, op->dX, 0);
    if (op->add)
        pool_bands(TOTAL, 1, mean, 1, g, op->bands, first, count, dx, dy, dy, dx, f);
    else
        pool_bands(TOTAL, 0, mean, clear, g, op->bands, first, count, dx, dy, dy, dx, f);
}

#endif
