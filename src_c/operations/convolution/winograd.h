/* winograd.h: convolutions with fewer multiplications, by Winograd's minimal filtering (Winograd, "Arithmetic
 * Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
 * arXiv:1509.09308), of windows whose places and neighbours are one place apart across, on one thread.
 *
 * POINTS places side by side make a tile, whose POINTS + 1 − size_w windows lie in it: 4 of 3 places. What a filter w
 * adds to places is a product of polynomials, whose coefficients these are; it is known by its values at POINTS points,
 * 0, ±¾, ±1½ and ∞, where it is a product of numbers: 6 multiplications of channels by filters for 12. A window's
 * sum is that transposed. So of a row of places d of a tile, of a filter w and of windows y:
 *
 *     y = Vᵀ ((S V w) ⊙ (Bᵀ d))    dw = Vᵀ S ((Bᵀ d) ⊙ (V dy))
 *
 * V: the values of a polynomial at all points, by its coefficients; S: a factor for each point; Bᵀ: interpolation,
 * transposed. The images of all tiles at one point are images again, as wide as there are tiles, which are convolved
 * by filters (size_h, 1): POINTS products. With these points rounding errors are up to twice those of direct sums;
 * they go by the largest number of a tile, also in a window that does not read it.
 *
 * Order: an element of such a product is that of gemm.h, in segments. A tile has its bits whatever lies beside it.
 */
#ifndef NNCORE_WINOGRAD_H
#define NNCORE_WINOGRAD_H

enum { POINTS = NN_POINTS, SIDE_REALS = NN_SIDE_REALS };
#define POINT_NEAR ((real)0.75) /* these two, and what is made of them here, are exact */
#define POINT_FAR ((real)1.5)
#define POINTS_SUM (POINT_NEAR * POINT_NEAR + POINT_FAR * POINT_FAR)
#define POINTS_PRODUCT (POINT_NEAR * POINT_NEAR * POINT_FAR * POINT_FAR)

/* Bᵀ d */
INLINE void places_at_points(const vf d[POINTS], vf v[POINTS]) {
    const vf even_near = d[4] - POINT_FAR * POINT_FAR * d[2], odd_near = d[3] - POINT_FAR * POINT_FAR * d[1];
    const vf even_far = d[4] - POINT_NEAR * POINT_NEAR * d[2], odd_far = d[3] - POINT_NEAR * POINT_NEAR * d[1];
    v[0] = d[4] - POINTS_SUM * d[2] + POINTS_PRODUCT * d[0];
    v[1] = even_near + POINT_NEAR * odd_near;
    v[2] = even_near - POINT_NEAR * odd_near;
    v[3] = even_far + POINT_FAR * odd_far;
    v[4] = even_far - POINT_FAR * odd_far;
    v[5] = d[5] - POINTS_SUM * d[3] + POINTS_PRODUCT * d[1];
}

/* V x, of `count` coefficients; at ∞ it is the last */
INLINE void values_at_points(int count, const vf x[], vf v[POINTS]) {
    vf even_near = x[0], even_far = x[0], odd_near = {0}, odd_far = {0};
    real near = POINT_NEAR, far = POINT_FAR;
    for (int i = 1; i < count; i++, near *= POINT_NEAR, far *= POINT_FAR) {
        if (i % 2)
            odd_near += near * x[i], odd_far += far * x[i];
        else
            even_near += near * x[i], even_far += far * x[i];
    }
    v[0] = x[0];
    v[1] = even_near + odd_near;
    v[2] = even_near - odd_near;
    v[3] = even_far + odd_far;
    v[4] = even_far - odd_far;
    v[5] = x[count - 1];
}

/* Vᵀ v */
INLINE void sums_over_points(int count, const vf v[POINTS], vf y[]) {
    const vf even_near = v[1] + v[2], odd_near = v[1] - v[2], even_far = v[3] + v[4], odd_far = v[3] - v[4];
    real near = POINT_NEAR, far = POINT_FAR;
    y[0] = v[0] + even_near + even_far;
    for (int i = 1; i < count; i++, near *= POINT_NEAR, far *= POINT_FAR)
        y[i] = i % 2 ? near * odd_near + far * odd_far : near * even_near + far * even_far;
    y[count - 1] += v[5];
}

/* S v: of each point the reciprocal of its distances to all others, multiplied */
INLINE void scale_points(vf v[POINTS]) {
    const double near = 2 * POINT_NEAR * POINT_NEAR * (POINT_NEAR * POINT_NEAR - POINT_FAR * POINT_FAR);
    const double far = 2 * POINT_FAR * POINT_FAR * (POINT_FAR * POINT_FAR - POINT_NEAR * POINT_NEAR);
    v[0] *= (real)(1.0 / POINTS_PRODUCT);
    for (int i = 1; i <= 2; i++) v[i] *= (real)(1 / near), v[2 + i] *= (real)(1 / far);
}

/* f(size_w, …), that a constant: windows have 3 places across, or 5 */
#define FOR_SIZES(size_w, f, ...) ((size_w) == 3 ? f(3, __VA_ARGS__) : f(5, __VA_ARGS__))

/* Vectors of n filters, of which places lie `next` apart, at all points, which are `piece` apart */
INLINE void filters_to(int size_w, nn_index n, const real *W, nn_index next, real *U, nn_index piece) {
    VECTORS(j, left, n, {
        vf w[POINTS], u[POINTS];
        for (int i = 0; i < size_w; i++) w[i] = load_some(W + i * next + j, left);
        values_at_points(size_w, w, u);
        scale_points(u);
        for (int p = 0; p < POINTS; p++) store_some(U + p * piece + j, left, u[p]);
    });
}
INLINE void filters_from(int size_w, nn_index n, const real *dU, nn_index piece, real *dW, nn_index next) {
    VECTORS(j, left, n, {
        vf du[POINTS], dw[POINTS];
        for (int p = 0; p < POINTS; p++) du[p] = load_some(dU + p * piece + j, left);
        scale_points(du);
        sums_over_points(size_w, du, dw);
        for (int i = 0; i < size_w; i++) store_some(dW + i * next + j, left, dw[i]);
    });
}

/* Where row r of filters (size_h,size_w,channels,n) begins, the rows being those of (size_h,channels,n) */
INLINE nn_index filters_at(nn_index r, nn_index size_w, nn_index channels, nn_index n) {
    return (r / channels * size_w * channels + r % channels) * n;
}

SPAN(filters_at_points) {
    const nn_index size = op->size_w, channels = op->channels, n = op->n;
    for (nn_index r = first; r < first + count; r++)
        FOR_SIZES(size, filters_to, n, at(run, op->W, filters_at(r, size, channels, n)), channels * n,
                  at(run, op->U, r * n), op->rows * n);
}

SPAN(filters_from_points) {
    const nn_index size = op->size_w, channels = op->channels, n = op->n;
    for (nn_index r = first; r < first + count; r++)
        FOR_SIZES(size, filters_from, n, at(run, op->dU, r * n), op->rows * n,
                  at(run, op->dW, filters_at(r, size, channels, n)), channels * n);
}

/* Places `at` … of a row of `width`, with zeros beside it, at all points, which are `piece` apart; `inside`: none is
 * beside it */
INLINE void tile_at_points(nn_index channels, nn_index width, const real *row, nn_index at, int inside, real *V,
                           nn_index piece) {
    VECTORS(c, left, channels, {
        vf d[POINTS], v[POINTS];
        for (nn_index i = 0; i < POINTS; i++) {
            const int there = inside || (at + i >= 0 && at + i < width);
            d[i] = there ? load_some(row + (at + i) * channels + c, left) : (vf){0};
        }
        places_at_points(d, v);
        for (int p = 0; p < POINTS; p++) store_some(V + p * piece + c, left, v[p]);
    });
}

/* V (POINTS, …): `high` lines of tiles (high,tiles,channels) at each point, from place (top,left) of an image x on */
static void image_at_points(const convolution *v, const real *x, nn_index top, nn_index high, nn_index left,
                            nn_index tiles, real *V, nn_index piece) {
    const nn_index channels = v->channels, width = v->w.length, next = POINTS + 1 - v->w.size;
    for (nn_index h = top; h < top + high; h++, V += tiles * channels) {
        if (h < 0 || h >= v->h.length) {
            for (int p = 0; p < POINTS; p++) clear_reals(V + p * piece, tiles * channels);
            continue;
        }
        const real *const row = x + h * width * channels;
        for (nn_index t = 0, at = left; t < tiles; t++, at += next)
            if (at >= 0 && at + POINTS <= width)
                tile_at_points(channels, width, row, at, 1, V + t * channels, piece);
            else
                tile_at_points(channels, width, row, at, 0, V + t * channels, piece);
    }
}

/* A line of gradients dY (columns,n), tile by tile, at all points */
INLINE void line_at_points(int size_w, nn_index columns, nn_index n, const real *dY, real *V, nn_index piece) {
    const int size = POINTS + 1 - size_w; /* of a tile */
    for (nn_index i = 0; i < columns; i += size, dY += size * n, V += n) {
        const nn_index there = least(size, columns - i);
        VECTORS(j, left, n, {
            vf dy[POINTS], v[POINTS];
            for (int k = 0; k < size; k++) dy[k] = k < there ? load_some(dY + k * n + j, left) : (vf){0};
            values_at_points(size, dy, v);
            for (int p = 0; p < POINTS; p++) store_some(V + p * piece + j, left, v[p]);
        });
    }
}

/* The sums of a line of windows (columns,n), ldy apart, from those at all points */
INLINE void line_from_points(int size_w, nn_index columns, nn_index n, const real *V, nn_index piece,
                             const real *bias, real *Y, nn_index ldy) {
    const int size = POINTS + 1 - size_w; /* of a tile */
    for (nn_index i = 0; i < columns; i += size, Y += size * ldy, V += n) {
        const nn_index there = least(size, columns - i);
        VECTORS(j, left, n, {
            vf v[POINTS], y[POINTS];
            for (int p = 0; p < POINTS; p++) v[p] = load_some(V + p * piece + j, left);
            sums_over_points(size, v, y);
            const vf b = bias ? load_some(bias + j, left) : (vf){0};
            for (int k = 0; k < size; k++)
                if (k < there) store_some(Y + k * ldy + j, left, y[k] + b);
        });
    }
}

/* What is computed at a time: so many lines of windows of a sample, or of as many samples if these are all its lines */
typedef struct chunk {
    nn_index lines, samples;
} chunk;

/* Both sides of a product at all points share L2; or if filters alone would fill it, there is room for many windows
 * by which to multiply these. */
INLINE chunk chunk_at_points(const convolution *v, nn_index n) {
    const nn_index tiles = POINTS * ceil_div(v->line, POINTS + 1 - v->w.size), depth = tiles * v->channels;
    const nn_index most = v->h.size * v->channels * n <= SIDE_REALS ? SIDE_REALS : BAND_REALS + ROWS_REALS;
    const nn_index there = least((BAND_REALS / depth - v->reach_h) / v->h.stride + 1, ROWS_REALS / (tiles * n));
    assert(there > 0);
    const nn_index fit = least(least(there, MOST_SEGMENTS), v->h.out);
    const nn_index lines = v->parts > 1 ? 1 : clamp(most / (depth * v->h.stride + tiles * n), 1, fit);
    if (v->parts > 1 || lines < v->h.out) return (chunk){lines, 1};
    const nn_index high = (lines - 1) * v->h.stride + v->reach_h, samples = most / (high * depth + lines * tiles * n);
    const nn_index room = least(BAND_REALS / (high * depth), ROWS_REALS / (lines * tiles * n));
    return (chunk){lines, clamp(samples, 1, least(room, MOST_SEGMENTS / lines))};
}

/* Some samples' bands at all points: of each sample `high` lines of tiles, `down` reals apart, for `rows` tiles of
 * windows; from a point to the next of images and of windows */
typedef struct grid {
    nn_index tiles, high, down, rows, x_piece, y_piece;
} grid;
static grid bands_at_points(const convolution *v, band b, nn_index samples, const real *x, nn_index n) {
    const nn_index tiles = ceil_div(b.columns, POINTS + 1 - v->w.size), high = (b.lines - 1) * v->h.stride + v->reach_h;
    const nn_index down = tiles * v->channels, rows = b.lines * tiles;
    const grid g = {tiles, high, down, rows, samples * high * down, samples * rows * n};
    for (nn_index s = 0; s < samples; s++)
        image_at_points(v, x + s * v->h.length * v->w.length * v->channels, b.oh * v->h.stride - v->h.before, high,
                        b.ow - v->w.before, tiles, v->band + s * high * down, g.x_piece);
    return g;
}

/* convolve_lines, of filters U at all points */
static void convolve_lines_at_points(convolution *v, const nn_run *run, const nn_gemm *whole, const real *U,
                                     nn_index first, nn_index count) {
    const nn_index per = v->h.out * v->parts, image = v->h.length * v->w.length * v->channels;
    const nn_index n = whole->N, K = v->h.size * v->channels;
    const chunk most = chunk_at_points(v, n);
    const int even = v->h.stride == 1; /* rows of a sample, one after another */
    v->lines = most.lines;
    for (nn_index end = first + count, lines, some; first < end; first += some * lines) {
        const nn_index sample = first / per;
        const band b = band_at(v, first % per, least(end - first, per - first % per));
        lines = b.lines;
        some = lines == per && even ? least(most.samples, (end - first) / per) : 1;
        const grid of = bands_at_points(v, b, some, (const real *)whole->A + sample * image, n);
        for (nn_index i = 0; i < v->h.size; i++) v->offsets[i] = i * v->h.dilation * of.down;
        for (int p = 0; p < POINTS; p++) {
            const nn_gemm g = {
                .M = some * of.rows, .N = n, .K = K, .A = v->band + p * of.x_piece, .a_row = v->channels, .a_col = 1,
                .segments = v->h.size, .offsets = v->offsets, .group = even ? of.rows : of.tiles,
                .a_group = (even ? of.high : v->h.stride) * of.down, .B = U + p * K * n, .b_row = n, .b_col = 1,
                .C = v->P + p * of.y_piece, .ldc = n, .activation = NN_ACTIVATION_linear, .scratch = whole->scratch,
                .ahead = whole->ahead,
            };
            run->table->gemm[NN_PRECISION_highest](&g);
        }
        for (nn_index l = 0; l < some * lines; l++) {
            const nn_gemm line = rows_of(whole, (sample * v->h.out + b.oh + l) * v->w.out + b.ow);
            FOR_SIZES(v->w.size, line_from_points, b.columns, n, v->P + l * of.tiles * n, of.y_piece, whole->bias,
                      line.Z ? line.Z : line.C, line.Z ? line.ldz : line.ldc);
            if (line.affine) affine_sums(&line, 0, b.columns);
            finish_sums(&line, 0, 0, b.columns, n);
        }
    }
}

/* Parts of dU (POINTS,size_h,channels,n), and of db */
static void weights_at_points(convolution *v, const nn_run *run, const nn_op_convolve_weights *op, nn_index first,
                              nn_index count, void *scratch) {
    const nn_index image = v->h.length * v->w.length * v->channels, per = v->h.out * v->parts;
    const nn_index n = op->n, K = v->h.size * v->channels;
    const chunk most = chunk_at_points(v, n);
    v->lines = most.lines;
    for (nn_index sample = first, some; sample < first + count; sample += some) {
        some = least(most.samples, least(op->part - sample % op->part, first + count - sample));
        real *const dU = at(run, op->dU, sample / op->part * POINTS * K * n);
        real *const db = at(run, op->db, sample / op->part * n);
        band b;
        for (nn_index line = 0; line < per; line += b.lines) {
            b = band_at(v, line, per - line);
            const grid of = bands_at_points(v, b, some, at(run, op->X, sample * image), n);
            const nn_index window = (sample * v->h.out + b.oh) * v->w.out + b.ow;
            const int add = sample % op->part || line;
            for (nn_index l = 0; l < some * b.lines; l++)
                FOR_SIZES(v->w.size, line_at_points, b.columns, n, at(run, op->dY, (window + l * v->w.out) * n),
                          v->P + l * of.tiles * n, of.y_piece);
            const nn_index of_sample = v->h.stride == 1 ? 1 : b.lines, segments = some * of_sample;
            for (nn_index s = 0; s < segments; s++)
                v->offsets[s] = (s / of_sample * of.high + s % of_sample * v->h.stride) * of.down;
            for (int p = 0; p < POINTS; p++) {
                const nn_gemm g = {
                    .M = K, .N = n, .K = some * of.rows, .A = v->band + p * of.x_piece, .a_row = 1,
                    .a_col = v->channels, .segments = segments, .offsets = v->offsets, .group = v->channels,
                    .a_group = v->h.dilation * of.down, .B = v->P + p * of.y_piece, .b_row = n, .b_col = 1,
                    .C = dU + p * K * n, .ldc = n, .add = add, .activation = NN_ACTIVATION_linear, .scratch = scratch,
                    .ahead = nn_ahead_at(run, scratch),
                };
                run->table->gemm[NN_PRECISION_highest](&g);
            }
            if (db) add_column_sums(some * b.lines * b.columns, n, at(run, op->dY, window * n), add, v->P, db);
        }
    }
}

#endif
