/* draws.h: the random numbers of images: the first words of a block of 64 for each sample of the batch. */
#ifndef NNCORE_DRAWS_H
#define NNCORE_DRAWS_H

#include "core/program.h"
#include "vectors/random.h"

INLINE double drawn(const random_block *random, int which) { return (random->word[which] >> 8) * 0x1p-24; }
INLINE double drawn_between(const random_block *random, int which, const double *range) {
    return range[0] + drawn(random, which) * (range[1] - range[0]);
}

/* Whole places of an axis of n at which a part that is `length` long begins and ends, wherever it fits. */
typedef struct image_part { nn_index first, end; } image_part;
INLINE image_part drawn_part(const random_block *random, int which, double length, nn_index n) {
    const double first = drawn(random, which) * ((double)n - length);
    return (image_part){(nn_index)ceil(first), (nn_index)ceil(first + length)};
}

#endif
