/* random.h: Philox4x32-10, the counter-based generator behind every random choice, and shuffles.
 *
 * Four output words are a pure function of a key (2 words) and a counter (4 words): ten rounds of
 *   (c0, c1, c2, c3) ← (high(M1 c2) ^ c1 ^ k0, low(M1 c2), high(M0 c0) ^ c3 ^ k1, low(M0 c0)),  k ← k + W.
 * Streams of the project are named by `key[2]`: key[0] is Philox's key, key[1] the upper half of the counter;
 * the lower half counts. Each 64-bit number is a pair of words, the low one first.
 * vectors/random.h is the same for vectors.
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

enum {
    NN_SHUFFLE_BITS = 12,          /* at most so many random bits choose a part */
    NN_SHUFFLE_PART = 1 << 15,     /* places of a part that stays in a core's cache: 256 KB */
    NN_RANDOM_AHEAD = 64,          /* numbers drawn at once, so that the rounds of several counters overlap */
};

/* 64-bit numbers in the order of the counter, two from each value. */
typedef struct nn_stream {
    uint64_t key[2], counter;
    int used;
    uint64_t ahead[NN_RANDOM_AHEAD];
} nn_stream;

/* A shuffle that can be done in pieces. */
typedef struct nn_shuffle {
    int64_t *out, n, at;    /* `at`: of the pass at hand, what is done */
    int pass, bits;         /* 2^bits parts */
    int64_t part;           /* of the last pass: the one that is mixed, from its end down to its place `at` */
    nn_stream stream;
    int64_t ends[(1 << NN_SHUFFLE_BITS) + 1];
} nn_shuffle;

/* out = 0 … n−1 in random order, all n! equally likely; `advance` does about `work` elements, and returns 1 at the
 * end. */
void nn_shuffle_begin(nn_shuffle *s, const uint64_t key[2], int64_t n, int64_t *out);
int nn_shuffle_advance(nn_shuffle *s, int64_t work);

#endif
