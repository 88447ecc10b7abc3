/* images.h: colours of images, parts that are erased, samples that are mixed. */
#ifndef NNCORE_IMAGES_H
#define NNCORE_IMAGES_H

#include "operations/images/draws.h"
#include "operations/random/noise.h"
#include "operations/span.h"

/* What a sample's pixels are adjusted by: contrast, brightness */
typedef struct image_change { real contrast, brightness; } image_change;

INLINE image_change change_of(const double *factors, const uint64_t key[2], nn_index sample) {
    random_block random;
    random_fill(&random, key, (uint64_t)sample);
    return (image_change){(real)drawn_between(&random, 0, factors), (real)drawn_between(&random, 1, factors + 2)};
}

/* The mean of n numbers that lie `step` apart: by four sums, so that none waits for the last term */
INLINE real mean_of_channel(nn_index n, nn_index step, const real *x) {
    double sum[SIDE] = {0};
    nn_index i = 0;
    for (; i + SIDE <= n; i += SIDE) EACH(k, SIDE) sum[k] += (double)x[(i + k) * step];
    for (; i < n; i++) sum[0] += (double)x[i * step];
    return (real)(((sum[0] + sum[1]) + (sum[2] + sum[3])) / (double)n);
}

/* A pixel of a channel that has this mean, before it is clipped */
INLINE real adjusted(real x, real mean, image_change change) {
    return (x - mean) * change.contrast + (mean + change.brightness);
}

SPAN(adjust_images) {
    const uint64_t key[2] = RANDOM_KEY(0);
    const nn_index n = op->pixels, channels = op->channels;
    const real low = (real)op->range[0], high = (real)op->range[1];
    for (nn_index s = first; s < first + count; s++) {
        const image_change change = change_of(op->factors, key, s);
        for (nn_index k = 0; k < channels; k++) {
            const real *x = at(run, op->X, s * n * channels + k);
            real *y = at(run, op->Y, s * n * channels + k);
            const real mean = change.contrast == 1 ? 0 : mean_of_channel(n, channels, x);
            for (nn_index i = 0; i < n * channels; i += channels) {
                const real v = adjusted(x[i], mean, change);
                y[i] = v < low ? low : v > high ? high : v;
            }
        }
    }
}

SPAN(adjust_images_backward) {
    const uint64_t key[2] = RANDOM_KEY(0);
    const nn_index n = op->pixels, channels = op->channels;
    const real low = (real)op->range[0], high = (real)op->range[1];
    for (nn_index s = first; s < first + count; s++) {
        const image_change change = change_of(op->factors, key, s);
        for (nn_index k = 0; k < channels; k++) {
            const real *x = at(run, op->X, s * n * channels + k), *dy = at(run, op->dY, s * n * channels + k);
            real *dx = at(run, op->dX, s * n * channels + k);
            const real mean = change.contrast == 1 ? 0 : mean_of_channel(n, channels, x);
            for (nn_index i = 0; i < n * channels; i += channels) {
                const real v = adjusted(x[i], mean, change);
                dx[i] = v < low || v > high ? 0 : dy[i];
            }
            const real by_mean = (1 - change.contrast) * mean_of_channel(n, channels, dx);
            for (nn_index i = 0; i < n * channels; i += channels) dx[i] = change.contrast * dx[i] + by_mean;
        }
    }
}

/* c: scale, low, high */
INLINE vf clipped_noise(vf x UNUSED, vi bits, const vf *c) { return vmax(c[1], vmin(c[2], c[0] * normal_of(bits))); }

SPAN(erase_images) {
    const uint64_t key[2] = RANDOM_KEY(0), noise_key[2] = RANDOM_KEY(1);
    const nn_index channels = op->channels, n = op->height * op->width * channels;
    const real *values = at(run, op->values, 0);
    const vf range[3] = {vset((real)op->range[1]), vset((real)op->range[0]), vset((real)op->range[1])};
    for (nn_index s = first; s < first + count; s++) {
        real *y = at(run, op->Y, s * n);
        memcpy(y, at(run, op->X, s * n), (size_t)n * sizeof(real));
        random_block random;
        random_fill(&random, key, (uint64_t)s);
        if (drawn(&random, 5) >= drawn_between(&random, 4, op->factors)) continue;
        const double right = sqrt(drawn_between(&random, 0, op->factors + 2)) * (double)op->width;
        const double down = sqrt(drawn_between(&random, 1, op->factors + 2)) * (double)op->height;
        const image_part columns = drawn_part(&random, 2, right, op->width);
        const image_part rows = drawn_part(&random, 3, down, op->height);
        const nn_index length = (columns.end - columns.first) * channels;
        for (nn_index r = rows.first; r < rows.end && length; r++) {
            const nn_index from = (r * op->width + columns.first) * channels;
            if (op->backward)
                memset(y + from, 0, (size_t)length * sizeof(real));
            else if (values)
                for (nn_index i = 0; i < length; i++) y[from + i] = values[i % channels];
            else
                map_random(length, s * n + from, noise_key, clipped_noise, range, y + from, y + from);
        }
    }
}

enum { BETA_FIRST = 2 }; /* of the words */

/* λ of Beta(α, α). α ≤ 1: Jöhnk 1964; a pair of uniform numbers is taken with a probability of at least ½, the
 * last of 31 in any case; by logarithms, for both powers 1/α may be 0. α > 1, where ever more pairs would be refused:
 * Ulrich 1984, from an angle and a radius. */
INLINE double drawn_beta(const random_block *random, double alpha) {
    if (alpha > 1) {
        const double square = 1 - pow(drawn(random, BETA_FIRST), 2 / (2 * alpha - 1));
        return 0.5 + 0.5 * sqrt(square) * cos(2 * M_PI * drawn(random, BETA_FIRST + 1));
    }
    for (int i = BETA_FIRST;; i += 2) {
        const double x = log(drawn(random, i) + 0x1p-25) / alpha, y = log(drawn(random, i + 1) + 0x1p-25) / alpha;
        if (exp(x) + exp(y) <= 1 || i + 4 > RANDOM_BLOCK) return 1 / (1 + exp(y - x));
    }
}

/* What is drawn for one sample: how much of it stays, and the rectangle that does not */
typedef struct sample_mix {
    double kept;
    image_part rows, columns;
} sample_mix;

INLINE sample_mix mix_of(const nn_op_mix_samples *op, const uint64_t key[2], nn_index sample, double alpha) {
    random_block random;
    random_fill(&random, key, (uint64_t)sample);
    const double kept = drawn_beta(&random, alpha), side = sqrt(1 - kept);
    sample_mix mix = {kept, drawn_part(&random, 0, side * (double)op->height, op->height),
                      drawn_part(&random, 1, side * (double)op->width, op->width)};
    const nn_index area = (mix.rows.end - mix.rows.first) * (mix.columns.end - mix.columns.first);
    if (op->height) mix.kept = 1 - (double)area / (double)(op->height * op->width);
    return mix;
}

/* y ← own y + given x in the rectangle of a mix */
INLINE void mix_rectangle(const nn_op_mix_samples *op, const sample_mix *mix, real own, real given, const real *x,
                          real *y) {
    for (nn_index r = mix->rows.first; r < mix->rows.end; r++) {
        const nn_index row = r * op->width * op->channels;
        for (nn_index i = row + mix->columns.first * op->channels; i < row + mix->columns.end * op->channels; i++)
            y[i] = own * y[i] + given * x[i];
    }
}

SPAN(mix_samples) {
    const uint64_t key[2] = RANDOM_KEY(0), batch_key[2] = RANDOM_KEY(1);
    random_block random;
    random_fill(&random, batch_key, 0);
    const nn_index n = op->n, samples = run->samples;
    const nn_index ahead = samples < 2 ? 0 : 1 + (nn_index)(drawn(&random, 0) * (double)(samples - 1));
    const double alpha = drawn_between(&random, 1, op->alphas);
    for (nn_index s = first; s < first + count; s++) {
        /* dX is of the sample's own dY, and of that of the one behind it in the ring, whose other sample it was */
        const nn_index other = (s + (op->backward ? samples - ahead : ahead)) % samples;
        const real *x = at(run, op->X, s * n), *beside = at(run, op->X, other * n);
        real *y = at(run, op->Y, s * n);
        const sample_mix own = mix_of(op, key, s, alpha), given = mix_of(op, key, op->backward ? other : s, alpha);
        if (op->channels) {
            memcpy(y, x, (size_t)n * sizeof(real));
            mix_rectangle(op, &own, 0, 0, x, y);
            mix_rectangle(op, &given, 1, 1, beside, y);
        } else {
            for (nn_index i = 0; i < n; i++) y[i] = (real)own.kept * x[i] + (real)(1 - given.kept) * beside[i];
        }
    }
}

#endif
