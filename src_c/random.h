/* random.h: Philox4x32-10, the counter-based generator behind every random choice, and permutations.
 *
 * Four output words are a pure function of a key (2 words) and a counter (4 words): ten rounds of
 *   (c0, c1, c2, c3) ← (high(M1 c2) ^ c1 ^ k0, low(M1 c2), high(M0 c0) ^ c3 ^ k1, low(M0 c0)),  k ← k + W.
 * Streams of the project are named by `key[2]`: key[0] is Philox's key, key[1] the upper half of the counter;
 * the lower half counts. Each 64-bit number is a pair of words, the low one first.
 * template/random.h is the same for vectors.
 * Reference: Salmon, Moraes, Dror, Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
 */
#ifndef NNCORE_RANDOM_H
#define NNCORE_RANDOM_H

#include <stdint.h>

#define PHILOX_ROUNDS 10
#define PHILOX_M0 UINT32_C(0xD2511F53)
#define PHILOX_M1 UINT32_C(0xCD9E8D57)
#define PHILOX_W0 UINT32_C(0x9E3779B9)
#define PHILOX_W1 UINT32_C(0xBB67AE85)

/* out = 0 … n−1 in random order, all n! equally likely. */
void nn_permutation(const uint64_t key[2], int64_t n, int64_t *out);

#endif
