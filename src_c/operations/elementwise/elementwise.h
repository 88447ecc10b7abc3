/* elementwise.h: what is computed element by element: arithmetic, dropout, copies.
 *
 * Every load of a vector precedes its store, hence the aliasing that contract.h allows.
 */
#ifndef NNCORE_ELEMENTWISE_H
#define NNCORE_ELEMENTWISE_H

#include "operations/elementwise/activations.h"
#include "operations/elementwise/rows.h"
#include "operations/parameters/parts.h"

static void add_elements(nn_index n, const void *a, const void *b, void *y) {
    for (nn_index i = 0; i < n; i += LANES)
        store_some((real *)y + i, n - i, load_some((const real *)a + i, n - i) + load_some((const real *)b + i, n - i));
}

static void multiply_elements(nn_index n, const void *a, const void *b, void *y) {
    for (nn_index i = 0; i < n; i += LANES)
        store_some((real *)y + i, n - i, load_some((const real *)a + i, n - i) * load_some((const real *)b + i, n - i));
}

static void rescale(nn_index n, double scale, double offset, const void *x, void *y) {
    const vf a = vset((real)scale), b = vset((real)offset);
    for (nn_index i = 0; i < n; i += LANES)
        store_some((real *)y + i, n - i, a * load_some((const real *)x + i, n - i) + b);
}

/* y = x / (1 − rate) where u ≥ rate, else 0. u is a multiple of 2⁻²⁴, so the comparison is one of integers. */
static void dropout(nn_index n, uint64_t first, const uint64_t key[2], double rate, const void *x_, void *y_) {
    const real *x = x_;
    real *y = y_;
    assert(0 <= rate && rate < 1);
    const vf scale = vset((real)(1 / (1 - rate)));
    const integer threshold = (integer)ceil(rate * 0x1p24);
    random_block random;
    nn_index offset = (nn_index)(first % RANDOM_BLOCK), i = 0; /* element i has position offset + i in its block */
    for (uint64_t block = first / RANDOM_BLOCK; i < n; block++, offset -= RANDOM_BLOCK) {
        random_fill(&random, key, block);
        const nn_index end = n < RANDOM_BLOCK - offset ? n : RANDOM_BLOCK - offset;
        for (; i < end; i += LANES) {
            const vi keep = random_24bits(&random, offset + i) >= threshold;
            store_some(y + i, end - i, (vf)((vi)(scale * load_some(x + i, end - i)) & keep));
        }
        i = end;
    }
}

SPAN(activate) {
    run->table->activate[op->function](1, count, at(run, op->Z, first), count, at(run, op->Y, first), count,
                                       op->parameters);
}
SPAN(activate_backward) {
    run->table->activate_backward[op->function](1, count, at(run, op->saved, first), count, at(run, op->dY, first),
                                                count, at(run, op->dZ, first), count, op->parameters);
}
/* Of a row at most ROW_PIECE elements at a time: L1 has what a function makes of them when they are joined. */
enum { ROW_PIECE = 1024 };
#define ROW_PIECES(j, some, n)                                                                                       \
    for (nn_index j = 0, some; some = (n) - j < ROW_PIECE ? (n) - j : ROW_PIECE, j < (n); j += some)

SPAN(activate_partly) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n), *alpha = at(run, op->alpha, 0);
    real *y = at(run, op->Y, first * n), *given = at(run, op->F, first * n), room[ROW_PIECE];
    for (; count > 0; count--, x += n, y += n, given = given ? given + n : NULL)
        ROW_PIECES(k, some, n) {
            real *const f = given ? given + k : room; /* not Y, which may be X */
            run->table->activate[op->function](1, some, x + k, some, f, some, op->parameters);
            VECTORS(j, left, some, {
                const vf v = load_some(x + k + j, left);
                store_some(y + k + j, left, v + load_some(alpha + k + j, left) * (load_some(f + j, left) - v));
            });
        }
}
SPAN(activate_partly_backward) {
    const nn_index n = op->n;
    const real *alpha = at(run, op->alpha, 0);
    real room[ROW_PIECE];
    for (const nn_index end = first + count; first < end; first += CHUNK_ROWS) {
        const nn_index rows = end - first < CHUNK_ROWS ? end - first : CHUNK_ROWS;
        real *dalpha = open_part(at(run, op->dalpha, 0), first, n);
        for (nn_index i = 0; i < rows; i++) {
            const real *x = at(run, op->X, (first + i) * n), *f = at(run, op->F, (first + i) * n);
            const real *dy = at(run, op->dY, (first + i) * n), *saved = op->saved_x ? x : f;
            real *dx = at(run, op->dX, (first + i) * n);
            ROW_PIECES(k, some, n) {
                if (dx)
                    run->table->activate_backward[op->function](1, some, saved + k, some, dy + k, some, room, some,
                                                                op->parameters);
                VECTORS(j, left, some, {
                    const vf d = load_some(dy + k + j, left);
                    const vf change = load_some(f + k + j, left) - load_some(x + k + j, left);
                    if (dalpha) add_to_chain(dalpha + i % CHAINS * n, k + j, left, unfused(d * change));
                    if (dx) {
                        const vf less = load_some(room + j, left) - d; /* dY ⊙ (f′ − 1) */
                        store_some(dx + k + j, left, d + load_some(alpha + k + j, left) * less);
                    }
                });
            }
        }
        close_part(dalpha, n);
    }
}
SPAN(prelu) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n), *slope = at(run, op->slope, 0);
    real *y = at(run, op->Y, first * n);
    for (; count > 0; count--, x += n, y += n)
        for (nn_index j = 0; j < n; j += LANES) {
            const vf v = load_some(x + j, n - j);
            store_some(y + j, n - j, vselect(v > 0, v, load_some(slope + j, n - j) * v));
        }
}
SPAN(prelu_backward) {
    const nn_index n = op->n;
    const real *slope = at(run, op->slope, 0);
    for (const nn_index end = first + count; first < end; first += CHUNK_ROWS) {
        const nn_index rows = end - first < CHUNK_ROWS ? end - first : CHUNK_ROWS;
        const real *x = at(run, op->X, first * n), *dy = at(run, op->dY, first * n);
        real *dx = at(run, op->dX, first * n), *dslope = open_part(at(run, op->dslope, 0), first, n);
        for (nn_index i = 0; i < rows; i++)
            VECTORS(j, left, n, {
                const vf v = load_some(x + i * n + j, left), d = load_some(dy + i * n + j, left), zero = {0};
                if (dx) store_some(dx + i * n + j, left, vselect(v > 0, d, load_some(slope + j, left) * d));
                if (dslope) add_to_chain(dslope + i % CHAINS * n, j, left, unfused(d * vmin(zero, v))); /* nan stays */
            });
        close_part(dslope, n);
    }
}
SPAN(dropout) {
    const uint64_t key[2] = RANDOM_KEY(0);
    const double rate = op->scheduled ? nn_now(run, op->scheduled) : op->rate;
    dropout(count, (uint64_t)first, key, rate, at(run, op->X, first), at(run, op->Y, first));
}
SPAN(rescale) { rescale(count, op->scale, op->offset, at(run, op->X, first), at(run, op->Y, first)); }
SPAN(add) {
    enum { AT_ONCE = 1024 }; /* sums that L1 keeps until they are activated */
    const int activated = op->function != NN_ACTIVATION_linear;
    const nn_index step = activated ? AT_ONCE : count;
    for (nn_index i = first, n; i < first + count; i += n) {
        n = first + count - i < step ? first + count - i : step;
        real *const y = at(run, op->Y, i), *const given = at(run, op->Z, i), *const z = given ? given : y;
        add_elements(n, at(run, op->A, i), at(run, op->B, i), z);
        if (activated || given) run->table->activate[op->function](1, n, z, n, y, n, op->parameters);
    }
}
SPAN(multiply) { multiply_elements(count, at(run, op->A, first), at(run, op->B, first), at(run, op->Y, first)); }
SPAN(fill) {
    real *y = at(run, op->Y, first);
    for (nn_index i = 0; i < count; i += LANES) store_some(y + i, count - i, vset((real)op->value));
}
SPAN(copy) {
    const real *x = at(run, op->X, first * op->x_row);
    real *y = at(run, op->Y, first * op->y_row);
    for (; count > 0; count--, x += op->x_row, y += op->y_row) memcpy(y, x, (size_t)op->n * sizeof(real));
}

#endif
