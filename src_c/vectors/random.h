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

/* Products of 32-bit lanes in two halves; each 64-bit lane holds an even (lower) and an odd one. */
INLINE v32 multiply_words(v32 a, uint32_t b, v32 *high) {
    const uint64_t lower = UINT32_MAX;
    const v64 even = vmul_even((v64)a, b), odd = vmul_even((v64)a >> 32, b);
    *high = (v32)((even >> 32) | (odd & ~lower));
    return (v32)((even & lower) | (odd << 32));
}

/* Fills a block with its words, of which the position in `word` is e. */
INLINE void random_fill(random_block *block, const uint64_t key[2], uint64_t q) {
    const uint64_t counter = q * RANDOM_COUNTERS; /* its low word + 15 does not carry */
    v32 lane;
    for (int i = 0; i < WORDS; i++) lane[i] = (uint32_t)i;
    for (int part = 0; part < RANDOM_COUNTERS; part += WORDS) {
        uint32_t k0 = (uint32_t)key[0], k1 = (uint32_t)(key[0] >> 32);
        const v32 zero = {0};
        v32 c0 = lane + ((uint32_t)counter + (uint32_t)part), c1 = zero + (uint32_t)(counter >> 32);
        v32 c2 = zero + (uint32_t)key[1], c3 = zero + (uint32_t)(key[1] >> 32);
        for (int round = 0; round < PHILOX_ROUNDS; round++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
            v32 high0, high1;
            const v32 low0 = multiply_words(c0, PHILOX_M0, &high0), low1 = multiply_words(c2, PHILOX_M1, &high1);
            c0 = high1 ^ c1 ^ k0;
            c1 = low1;
            c2 = high0 ^ c3 ^ k1;
            c3 = low0;
        }
        const v32 word[4] = {c0, c1, c2, c3};
        for (int w = 0; w < 4; w++) memcpy(block->word + w * RANDOM_COUNTERS + part, &word[w], VECTOR_BYTES);
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
