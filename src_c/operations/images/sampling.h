/* sampling.h: images seen at other places: an affine map says where, two axes by themselves what lies there.
 *
 * Rows of the output are made in pieces of some columns. For each of these stands in a table which two pixels of an
 * axis of the input it lies between, and how far from the first; pixels outside are found by the fill mode there. What
 * is read then is the same, and what is added to in the backward pass, whatever the map.
 */
#ifndef NNCORE_SAMPLING_H
#define NNCORE_SAMPLING_H

#include "operations/images/draws.h"
#include "operations/span.h"
#include "vectors/vecmath.h"

enum { IMAGE_COLUMNS = 128 }; /* of a piece */

/* A (p − from) / over + to */
typedef struct image_map { double a[2][2], from[2], over[2], to[2]; } image_map;

INLINE image_map map_of(const nn_op_sample_images *op, const nn_run *run, nn_index sample) {
    random_block random = {.word = {0}}; /* where nothing is random, the least is the greatest */
    if (op->layer >= 0) {
        const uint64_t key[2] = RANDOM_KEY(0);
        random_fill(&random, key, (uint64_t)(op->joined ? 0 : sample));
    }
    vf sine;
    const real cosine = vcospi_sinpi(vset((real)drawn_between(&random, 2, op->turn)), &sine)[0];
    const double zoom_y = drawn_between(&random, 3, op->zoom);
    const double zoom_x = drawn_between(&random, op->linked ? 3 : 4, op->zoom + 2);
    const double y = drawn(&random, 0) < op->flip[0] ? -zoom_y : zoom_y;
    const double x = drawn(&random, 1) < op->flip[1] ? -zoom_x : zoom_x;
    image_map m = {.a = {{cosine * y, sine[0] * x}, {-sine[0] * y, cosine * x}}, .from = {op->center[2], op->center[3]},
                   .over = {op->over[0], op->over[1]}};
    for (int axis = 0; axis < 2; axis++) {
        const double shift = drawn_between(&random, 5 + axis, op->shift + 2 * axis);
        m.to[axis] = op->center[axis] - (op->joined ? ceil(shift) : shift);
    }
    return m;
}

/* Of each column: what is before it and behind it on an axis of the input, as an offset in elements, < 0: outside;
 * and how far it is from the first. */
typedef struct image_places {
    int32_t first[IMAGE_COLUMNS], second[IMAGE_COLUMNS];
    real part[IMAGE_COLUMNS];
} image_places;

#define ONCE static __attribute__((noinline)) /* of scalars alone: inlined, they would be most of the kernels' code */

/* Pixels of an axis of n, or those that stand for what is outside, as offsets; all are from `low` to `high`. */
ONCE void settle(nn_index count, int32_t n, nn_index mode, int32_t low, int32_t high, int32_t step, int32_t *place) {
    if (mode > 1 && (low < -n || high >= 2 * n)) { /* so far outside that it needs a division */
        const int32_t period = mode == 2 ? n : 2 * n;
        for (nn_index i = 0; i < count; i++) place[i] = (place[i] % period + period) % period;
    }
    if (mode == 1)
        for (nn_index i = 0; i < count; i++) {
            const int32_t above = place[i] < 0 ? 0 : place[i];
            place[i] = above < n ? above : n - 1;
        }
    else if (mode == 2)
        for (nn_index i = 0; i < count; i++) {
            const int32_t above = place[i] < 0 ? place[i] + n : place[i];
            place[i] = above < n ? above : above - n;
        }
    else if (mode == 3)
        for (nn_index i = 0; i < count; i++) {
            const int32_t above = place[i] < 0 ? -1 - place[i] : place[i];
            place[i] = above < n ? above : 2 * n - 1 - above;
        }
    for (nn_index i = 0; i < count; i++) place[i] = (uint32_t)place[i] < (uint32_t)n ? place[i] * step : -1;
}

ONCE void find_places(const nn_op_sample_images *op, const image_map *m, int axis, nn_index row, nn_index column,
                      nn_index count, image_places *p) {
    const int32_t n = (int32_t)(axis ? op->width : op->height);
    const int32_t elements = (int32_t)(axis ? op->channels : op->channels * op->width);
    const double step = m->a[axis][1], over = m->over[axis], to = m->to[axis];
    const double start = m->a[axis][0] * ((double)row - m->from[0]) + step * ((double)column - m->from[1]);
    const int bilinear = (int)op->bilinear;
    for (nn_index i = 0; i < count; i++) {
        const double moved = start + step * (double)(int32_t)i, at = (over == 1 ? moved : moved / over) + to;
        int32_t whole = (int32_t)(bilinear ? at : at + copysign(0.5, at));
        whole -= bilinear && whole > at;
        p->first[i] = whole;
        p->second[i] = whole + bilinear;
        p->part[i] = (real)(at - whole);
    }
    const int32_t begin = p->first[0], end = p->first[count - 1]; /* all others are between them */
    const int32_t low = begin < end ? begin : end, high = begin < end ? end : begin;
    settle(count, n, op->fill_mode, low, high, elements, p->first);
    if (bilinear) settle(count, n, op->fill_mode, low + 1, high + 1, elements, p->second);
}

/* One channel between four pixels */
INLINE real between(real above, real beside, real below, real last, real down, real right) {
    const real first = above + right * (beside - above), second = below + right * (last - below);
    return first + down * (second - first);
}

/* A pixel of Y; `at`: of the four that it is between, or of the nearest one */
INLINE void see_pixel(nn_index channels, nn_index bilinear, const int32_t *at, real down, real right, const real *x,
                      real fill, real *y) {
    const int inner = bilinear ? (at[0] | at[1] | at[2] | at[3]) >= 0 : at[0] >= 0;
    for (nn_index k = 0; k < channels; k++) {
        real v[4];
        for (int i = 0; i < (bilinear ? 4 : 1); i++) v[i] = inner || at[i] >= 0 ? x[at[i] + k] : fill;
        y[k] = bilinear ? between(v[0], v[1], v[2], v[3], down, right) : v[0];
    }
}

/* dX, to which a pixel of dY is added where it was read */
INLINE void add_pixel(nn_index channels, nn_index bilinear, const int32_t *at, real down, real right, const real *dy,
                      real *dx) {
    const real weight[4] = {(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right};
    for (int i = 0; i < (bilinear ? 4 : 1); i++)
        for (nn_index k = 0; at[i] >= 0 && k < channels; k++) dx[at[i] + k] += (bilinear ? weight[i] : 1) * dy[k];
}

/* Y of X, resp. dX of dY */
INLINE void sample_image(const nn_op_sample_images *op, const image_map *m, nn_index channels, nn_index bilinear,
                         nn_index backward, const real *x, real *y) {
    const int turned = m->a[0][1] != 0; /* else a row is seen in rows, whatever the column */
    const real fill = (real)op->fill_value;
    image_places rows, columns;
    if (backward) memset(y, 0, (size_t)(op->height * op->width * channels) * sizeof(real));
    for (nn_index column = 0; column < op->to_width; column += IMAGE_COLUMNS)
        for (nn_index row = 0; row < op->to_height; row++) {
            const nn_index left = op->to_width - column, count = left < IMAGE_COLUMNS ? left : IMAGE_COLUMNS;
            nn_index pixel = (row * op->to_width + column) * channels;
            find_places(op, m, 0, row, column, turned ? count : 1, &rows);
            if (row == 0 || turned) find_places(op, m, 1, row, column, count, &columns);
            for (nn_index i = 0; i < count; i++, pixel += channels) {
                const nn_index r = turned ? i : 0;
                const int32_t across[2] = {columns.first[i], columns.second[i]};
                const int32_t along[2] = {rows.first[r], rows.second[r]};
                int32_t at[4];
                for (int c = 0; c < 4; c++)
                    at[c] = (along[c / 2] | across[c % 2]) < 0 ? -1 : along[c / 2] + across[c % 2];
                if (backward)
                    add_pixel(channels, bilinear, at, rows.part[r], columns.part[i], x + pixel, y);
                else
                    see_pixel(channels, bilinear, at, rows.part[r], columns.part[i], x, fill, y + pixel);
            }
        }
}

SPAN(sample_images) {
    const nn_index from = op->height * op->width * op->channels, to = op->to_height * op->to_width * op->channels;
    for (nn_index s = first; s < first + count; s++) {
        const image_map m = map_of(op, run, s);
        const real *x = at(run, op->X, s * (op->backward ? to : from));
        real *y = at(run, op->Y, s * (op->backward ? from : to));
        if (op->backward)
            sample_image(op, &m, op->channels, op->bilinear, 1, x, y);
        else if (!op->bilinear)
            sample_image(op, &m, op->channels, 0, 0, x, y);
        else if (op->channels == 1) /* what is most frequent is faster with constants */
            sample_image(op, &m, 1, 1, 0, x, y);
        else if (op->channels == 3)
            sample_image(op, &m, 3, 1, 0, x, y);
        else
            sample_image(op, &m, op->channels, 1, 0, x, y);
    }
}

#endif
