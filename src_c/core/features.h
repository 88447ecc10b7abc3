/* features.h: features of the columns of a table, scaled and clipped smoothly: z = (f − center) factor, and then
 * z / √(1 + (z / clip)²), 0 where a number is missing. For one module alone.
 */
#ifndef NNCORE_FEATURES_H
#define NNCORE_FEATURES_H

#include <math.h>
#include <stddef.h>

/* Values of numbers are the first features, whether some are missing the next ones, up to `indicators`; then levels. */
typedef struct {
    ptrdiff_t n, numbers, indicators;
    const ptrdiff_t *column; /* (n): whose values */
    const double *scaling;   /* (4,n): center, factor, the levels that are 1 and −1 */
    double clip;
} nn_features;

#define NN_FEATURE_END 1e9 /* where the root is |z| / clip to the last bit: no square is infinite */

static inline float nn_clipped_feature(const nn_features *of, ptrdiff_t j, double f) {
    double z = (f - of->scaling[j]) * of->scaling[of->n + j];
    if (isnan(z)) return 0;
    z = fmax(-NN_FEATURE_END, fmin(z, NN_FEATURE_END));
    const double part = z / of->clip;
    return (float)(z / sqrt(1 + part * part));
}

/* Those of rows of so many columns; the first column that has an infinite number, or −1. */
static inline ptrdiff_t nn_make_features(const nn_features *of, ptrdiff_t rows, ptrdiff_t columns, const double *values,
                                         float *features) {
    const double *yes = of->scaling + 2 * of->n, *no = yes + of->n;
    for (; rows > 0; rows--, values += columns, features += of->n) {
        ptrdiff_t j = 0;
        for (; j < of->numbers; j++) {
            const double v = values[of->column[j]];
            if (isinf(v)) return of->column[j];
            features[j] = nn_clipped_feature(of, j, v);
        }
        for (; j < of->indicators; j++) features[j] = nn_clipped_feature(of, j, isnan(values[of->column[j]]) != 0);
        for (; j < of->n; j++) {
            const double v = values[of->column[j]];
            features[j] = nn_clipped_feature(of, j, (v == yes[j]) - (v == no[j]));
        }
    }
    return -1;
}

#endif
