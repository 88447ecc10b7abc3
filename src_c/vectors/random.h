/* random.h: Philox4x32-10 (core/random.h) on vectors of 32-bit lanes, in blocks of 64 words.
 *
 * Element p of a stream belongs to block q = p / 64; with e = p % 64 its word is output word e / 16 of the
 * counter 16 q + e % 16. Hence one pass over 16 counters fills a block, as 16 consecutive elements per output
 * word, at any width of vector: the words do not depend on the instruction set or the real type.
 * A uniform real is u = (word >> 8) 2⁻²⁴ in [0,1).
 */
#ifndef NNCORE_VECTORS_RANDOM_H
#define NNCORE_VECTORS_RANDOM_H

#include "core/random.h"

enum { RANDOM_BLOCK = 64, RANDOM_COUNTERS = RANDOM_BLOCK / 4, WORDS = VECTOR_BYTES / 4 };

typedef uint32_t v32 __attribute__((vector_size(VECTOR_BYTES)));

typedef struct random_block {
    uint32_t word[RANDOM_BLOCK + WORDS] __attribute__((aligned(VECTOR_BYTES))); /* a last load may go beyond */
} random_block;

/* Fills a block with its words, of which the position in `word` is e. Each 64-bit lane holds one counter's word; what
 * is above its lower half, from products, no product reads. */
INLINE void random_fill(random_block *block, const uint64_t key[2], uint64_t q) {
    const uint64_t counter = q * RANDOM_COUNTERS, lower = UINT32_MAX; /* its low word + 15 does not carry */
    const v64 zero = {0};
    v64 lane;
    for (int i = 0; i < WORDS / 2; i++) lane[i] = 2 * (uint64_t)i;
    for (int part = 0; part < RANDOM_COUNTERS; part += WORDS) {
        v64 c[2][4]; /* of even counters, of odd ones */
        for (int h = 0; h < 2; h++) {
            c[h][0] = lane + (counter + (uint64_t)(part + h));
            c[h][1] = zero + (counter >> 32);
            c[h][2] = zero + key[1];
            c[h][3] = zero + (key[1] >> 32);
        }
        uint32_t k0 = (uint32_t)key[0], k1 = (uint32_t)(key[0] >> 32);
        for (int round = 0; round < PHILOX_ROUNDS; round++, k0 += PHILOX_W0, k1 += PHILOX_W1)
            for (int h = 0; h < 2; h++) {
                const v64 p0 = vmul_even(c[h][0], PHILOX_M0), p1 = vmul_even(c[h][2], PHILOX_M1);
                c[h][0] = (p1 >> 32) ^ c[h][1] ^ (zero + k0);
                c[h][1] = p1;
                c[h][2] = (p0 >> 32) ^ c[h][3] ^ (zero + k1);
                c[h][3] = p0;
            }
        for (int w = 0; w < 4; w++) {
            const v64 words = (c[0][w] & lower) | (c[1][w] << 32);
            memcpy(block->word + w * RANDOM_COUNTERS + part, &words, VECTOR_BYTES);
        }
    }
}

/* u 2²⁴ of LANES elements from position e of the block on */
INLINE vi random_24bits(const random_block *block, nn_index e) {
#if NN_REAL_BITS == 32
    v32 word;
    memcpy(&word, block->word + e, VECTOR_BYTES);
    return (vi)(word >> 8);
#else
    typedef uint32_t half __attribute__((vector_size(VECTOR_BYTES / 2)));
    half word;
    memcpy(&word, block->word + e, VECTOR_BYTES / 2);
    return __builtin_convertvector(word >> 8, vi);
#endif
}

#endif
