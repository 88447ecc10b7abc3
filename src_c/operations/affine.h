/* affine.h: x → (x − mean) factor + offset, each column by its numbers: what BatchNormalization does to an array,
 * with the same bits wherever it is done. */
#ifndef NNCORE_AFFINE_H
#define NNCORE_AFFINE_H

#include "operations/elementwise/activations.h"
#include "vectors/lanes.h"

typedef struct affine {
    const real *mean, *factor, *offset;
} affine;

/* Those of the rows of an array (3,n). */
INLINE affine affine_at(const real *a, nn_index n) { return (affine){a, a + n, a + 2 * n}; }

/* The array `to`, rows n apart, from mean, inverse (of the deviation), gamma, beta of these columns, each of which may
 * be absent; the inverse may lie where the factor goes. */
INLINE void affine_of(nn_index cols, const real *mean, const real *inverse, const real *gamma, const real *beta,
                      real *to, nn_index n) {
    for (nn_index j = 0; j < cols; j += LANES) {
        const nn_index left = cols - j;
        const vf scale = inverse ? load_some(inverse + j, left) : vset(1);
        store_some(to + j, left, mean ? load_some(mean + j, left) : (vf){0});
        store_some(to + n + j, left, gamma ? load_some(gamma + j, left) * scale : scale);
        store_some(to + 2 * n + j, left, beta ? load_some(beta + j, left) : (vf){0});
    }
}

INLINE vf affine_vector(const affine *a, nn_index j, nn_index left, vf x) {
    return (x - load_some(a->mean + j, left)) * load_some(a->factor + j, left) + load_some(a->offset + j, left);
}

INLINE void affine_columns(int relu, nn_index rows, nn_index cols, const affine *a, const real *x, nn_index ldx,
                           real *y, nn_index ldy) {
    for (; rows > 0; rows--, x += ldx, y += ldy)
        VECTORS(j, left, cols, {
            const vf z = affine_vector(a, j, left, load_some(x + j, left));
            store_some(y + j, left, relu ? f_relu(z, NULL) : z);
        });
}

#endif
