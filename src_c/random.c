/* random.c: scalar Philox, and the Fisher-Yates shuffle that gives an epoch its order.
 *
 * The j-th bounded integer is the high half of (64 random bits × bound), redrawn while the low half shows that
 * its value would come up once too often: unbiased, and a division only then.
 * Reference: Lemire, Fast random integer generation in an interval, ACM TOMACS 29 (2019), algorithm 5.
 */
#include "random.h"

typedef unsigned __int128 wide;

static inline void philox(uint64_t key, uint64_t low, uint64_t high, uint32_t out[4]) {
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)low, c1 = (uint32_t)(low >> 32), c2 = (uint32_t)high, c3 = (uint32_t)(high >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
        const uint64_t p0 = (uint64_t)PHILOX_M0 * c0, p1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* 64-bit numbers in the order of the counter, two from each value, drawn ahead so that the rounds of several
 * counters overlap */
enum { AHEAD = 64 };
typedef struct stream {
    const uint64_t *key;
    uint64_t counter;
    int used;
    uint64_t ahead[AHEAD];
} stream;

static inline uint64_t draw(stream *s) {
    if (s->used == AHEAD) {
        for (int i = 0; i < AHEAD; i += 2) {
            uint32_t word[4];
            philox(s->key[0], s->counter++, s->key[1], word);
            s->ahead[i] = word[0] | (uint64_t)word[1] << 32;
            s->ahead[i + 1] = word[2] | (uint64_t)word[3] << 32;
        }
        s->used = 0;
    }
    return s->ahead[s->used++];
}

static inline uint64_t below(stream *s, uint64_t bound) {
    wide product = (wide)draw(s) * bound;
    if ((uint64_t)product < bound) {
        const uint64_t excess = -bound % bound; /* 2⁶⁴ mod bound */
        while ((uint64_t)product < excess) product = (wide)draw(s) * bound;
    }
    return (uint64_t)(product >> 64);
}

void nn_permutation(const uint64_t key[2], int64_t n, int64_t *out) {
    stream s = {.key = key, .used = AHEAD};
    for (int64_t i = 0; i < n; i++) out[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = (int64_t)below(&s, (uint64_t)i + 1), swapped = out[i];
        out[i] = out[j];
        out[j] = swapped;
    }
}
