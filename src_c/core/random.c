/* random.c: scalar Philox, and the shuffle that gives an epoch its order.
 *
 * Few numbers are shuffled by Fisher and Yates. Of many, that would miss the cache at each exchange: 2^26 in 22 s. They
 * are first dealt to 2^bits parts at random, which all stay in cache while they are mixed: 1.5 s. All orders are as
 * likely then, too: any assignment to parts is, and within the parts any order (Rao 1961, Sandelius 1962).
 * The j-th bounded integer is the high half of (64 random bits × bound), redrawn while the low half shows that
 * its value would come up once too often: unbiased, and a division only then.
 * Reference: Lemire, Fast random integer generation in an interval, ACM TOMACS 29 (2019), algorithm 5.
 */
#include "core/random.h"

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

static void restart(nn_stream *s, uint64_t counter) {
    s->counter = counter;
    s->used = NN_RANDOM_AHEAD;
}

static inline uint64_t draw(nn_stream *s) {
    if (s->used == NN_RANDOM_AHEAD) {
        for (int i = 0; i < NN_RANDOM_AHEAD; i += 2) {
            uint32_t word[4];
            philox(s->key[0], s->counter++, s->key[1], word);
            s->ahead[i] = word[0] | (uint64_t)word[1] << 32;
            s->ahead[i + 1] = word[2] | (uint64_t)word[3] << 32;
        }
        s->used = 0;
    }
    return s->ahead[s->used++];
}

static inline uint64_t below(nn_stream *s, uint64_t bound) {
    wide product = (wide)draw(s) * bound;
    if ((uint64_t)product < bound) {
        const uint64_t excess = -bound % bound; /* 2⁶⁴ mod bound */
        while ((uint64_t)product < excess) product = (wide)draw(s) * bound;
    }
    return (uint64_t)(product >> 64);
}

enum { COUNT, DEAL, MIX };      /* passes */
enum { MIX_COUNTER = 62 };      /* the last one draws from the counter 2^62 on, or from 0 if it is the only one */
enum { PICKS = 64 / NN_SHUFFLE_BITS };

void nn_shuffle_begin(nn_shuffle *s, const uint64_t key[2], int64_t n, int64_t *out) {
    s->out = out, s->n = n, s->at = 0, s->part = 0;
    s->stream.key[0] = key[0], s->stream.key[1] = key[1];
    for (s->bits = 0; s->bits < NN_SHUFFLE_BITS && n >> s->bits > 2 * NN_SHUFFLE_PART;) s->bits++;
    for (int64_t p = 0; p <= (int64_t)1 << s->bits; p++) s->ends[p] = 0;
    restart(&s->stream, 0);
    s->pass = COUNT;
    if (s->bits == 0) {
        for (int64_t i = 0; i < n; i++) out[i] = i;
        s->ends[0] = n;
        s->pass = MIX;
        s->at = n - 1;
    }
}

/* Deal `work` numbers to the parts, or only count what each will get: the same draws in both passes. */
static void deal(nn_shuffle *s, int64_t work, int count) {
    const int64_t stop = s->n - s->at < work ? s->n : s->at + work;
    const uint64_t mask = ((uint64_t)1 << s->bits) - 1;
    for (int64_t i = s->at; i < stop;) {
        uint64_t picks = draw(&s->stream);
        for (int k = 0; k < PICKS && i < stop; k++, i++, picks >>= NN_SHUFFLE_BITS) {
            int64_t *end = &s->ends[picks & mask];
            if (!count) s->out[*end] = i;
            ++*end;
        }
    }
    s->at = stop;
}

/* From the end of a part down, exchange each place with one at or before it. */
static int64_t mix(nn_shuffle *s, int64_t work) {
    const int64_t first = s->part ? s->ends[s->part - 1] : 0, stop = s->at - first > work ? s->at - work : first;
    int64_t i = s->at;
    for (; i > stop; i--) {
        const int64_t j = first + (int64_t)below(&s->stream, (uint64_t)(i - first) + 1), swapped = s->out[i];
        s->out[i] = s->out[j];
        s->out[j] = swapped;
    }
    const int64_t done = s->at - i + 1;
    s->at = i;
    return done;
}

int nn_shuffle_advance(nn_shuffle *s, int64_t work) {
    const int64_t parts = (int64_t)1 << s->bits;
    if (s->pass < MIX) {
        deal(s, (work + PICKS - 1) / PICKS * PICKS, s->pass == COUNT);
        if (s->at < s->n) return 0;
        if (s->pass++ == COUNT) {
            for (int64_t p = 0, begin = 0; p < parts; p++) {
                const int64_t size = s->ends[p];
                s->ends[p] = begin; /* which dealing moves to the end */
                begin += size;
            }
            restart(&s->stream, 0);
            s->at = 0;
        } else {
            restart(&s->stream, (uint64_t)1 << MIX_COUNTER);
            s->at = s->ends[0] - 1;
        }
        return 0;
    }
    while (work > 0) {
        work -= mix(s, work);
        if (s->at > (s->part ? s->ends[s->part - 1] : 0)) continue;
        if (++s->part == parts) return 1;
        s->at = s->ends[s->part] - 1;
    }
    return 0;
}
