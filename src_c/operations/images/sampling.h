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
        const uint64_t key[2] = IMAGE_KEY(0);
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

/* Pixel i of an axis of n, or the one that stands there; −1: none does. */
INLINE int32_t pixel_at(int32_t i, int32_t n, nn_index mode) {
    if (i >= 0 && i < n) return i;
    if (mode == 0) return -1;
    if (mode == 1) return i < 0 ? 0 : n - 1;
    const int32_t period = mode == 2 ? n : 2 * n, place = (i % period + period) % period;
    return place < n ? place : period - 1 - place;
}

/* Of each column: the pixels of an axis before and behind it, and how far it is from the first. */
typedef struct image_places {
    int32_t first[IMAGE_COLUMNS], second[IMAGE_COLUMNS];
    real part[IMAGE_COLUMNS];
} image_places;

INLINE void find_places(const nn_op_sample_images *op, const image_map *m, int axis, nn_index row, nn_index column,
                        nn_index count, image_places *p) {
    const int32_t n = (int32_t)(axis ? op->width : op->height);
    const double step = m->a[axis][1], over = m->over[axis], to = m->to[axis];
    const double start = m->a[axis][0] * ((double)row - m->from[0]) + step * ((double)column - m->from[1]);
    const nn_index bilinear = op->bilinear, mode = op->fill_mode;
    for (nn_index i = 0; i < count; i++) {
        const double at = (start + step * (double)i) / over + to;
        int32_t whole = (int32_t)(bilinear ? at : at + copysign(0.5, at));
        if (bilinear) whole -= whole > at;
        p->first[i] = whole;
        p->part[i] = bilinear ? (real)(at - whole) : 0;
    }
    for (nn_index i = 0; i < count; i++) {
        p->second[i] = pixel_at(p->first[i] + (int32_t)bilinear, n, mode);
        p->first[i] = pixel_at(p->first[i], n, mode);
    }
}

/* A pixel of the input, or what stands for all outside, whose channels are one number. */
typedef struct image_corner {
    nn_index at; /* its first element; −1: it is outside */
    const real *from;
    nn_index step;
} image_corner;

INLINE image_corner corner_of(const nn_op_sample_images *op, int32_t row, int32_t column, const real *x,
                              const real *fill) {
    if (row < 0 || column < 0) return (image_corner){-1, fill, 0};
    const nn_index at = (row * op->width + column) * op->channels;
    return (image_corner){at, x + at, 1};
}

INLINE void blend_corners(nn_index channels, const image_corner *c, real down, real right, real *y) {
    for (nn_index k = 0; k < channels; k++) {
        real corner[4];
        for (int i = 0; i < 4; i++) corner[i] = c[i].from[k * c[i].step];
        const real above = corner[0] + right * (corner[1] - corner[0]);
        const real below = corner[2] + right * (corner[3] - corner[2]);
        y[k] = above + down * (below - above);
    }
}

INLINE void add_to_corners(nn_index channels, const image_corner *c, real down, real right, const real *dy, real *dx) {
    const real weight[4] = {(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right};
    for (int i = 0; i < 4; i++)
        if (c[i].at >= 0)
            for (nn_index k = 0; k < channels; k++) dx[c[i].at + k] += weight[i] * dy[k];
}

/* Y of X, resp. dX of dY: which of the two is that of the output */
INLINE void sample_image(const nn_op_sample_images *op, const image_map *m, nn_index channels, nn_index backward,
                         const real *x, real *y) {
    const real fill = (real)op->fill_value;
    image_places rows, columns;
    if (backward) memset(y, 0, (size_t)(op->height * op->width * channels) * sizeof(real));
    for (nn_index column = 0; column < op->to_width; column += IMAGE_COLUMNS)
        for (nn_index row = 0; row < op->to_height; row++) {
            const nn_index left = op->to_width - column, count = left < IMAGE_COLUMNS ? left : IMAGE_COLUMNS;
            const nn_index out = (row * op->to_width + column) * channels;
            find_places(op, m, 0, row, column, m->a[0][1] == 0 ? 1 : count, &rows);
            if (row == 0 || m->a[1][0] != 0) find_places(op, m, 1, row, column, count, &columns);
            for (nn_index i = 0; i < count; i++) {
                const nn_index r = m->a[0][1] == 0 ? 0 : i;
                const int32_t above = rows.first[r], below = rows.second[r];
                const int32_t first = columns.first[i], second = columns.second[i];
                const image_corner corners[4] = {corner_of(op, above, first, x, &fill),
                                                 corner_of(op, above, second, x, &fill),
                                                 corner_of(op, below, first, x, &fill),
                                                 corner_of(op, below, second, x, &fill)};
                const nn_index pixel = out + i * channels;
                if (backward)
                    add_to_corners(channels, corners, rows.part[r], columns.part[i], x + pixel, y);
                else
                    blend_corners(channels, corners, rows.part[r], columns.part[i], y + pixel);
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
            sample_image(op, &m, op->channels, 1, x, y);
        else if (op->channels == 1)
            sample_image(op, &m, 1, 0, x, y);
        else if (op->channels == 3)
            sample_image(op, &m, 3, 0, x, y);
        else
            sample_image(op, &m, op->channels, 0, x, y);
    }
}

#endif
