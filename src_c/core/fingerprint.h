/* fingerprint.h: 64-bit fingerprints of bytes, the same on every machine, in every version: saved models need it so.
 *
 * nn_fingerprint is FarmHash's Fingerprint64 (G. Pike, https://github.com/google/farmhash, the variant "na"), and
 * nn_keyed_fingerprint SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein: SipHash, INDOCRYPT 2012), which are those that
 * Keras's layers have from TensorFlow; nn_joined_fingerprint is how TensorFlow joins two. For one module alone.
 */
#ifndef NNCORE_FINGERPRINT_H
#define NNCORE_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static const uint64_t nn_fp_0 = 0xc3a5c85c97cb3127u, nn_fp_1 = 0xb492b66fbe98f273u, nn_fp_2 = 0x9ae16a3b2f90404fu;

typedef struct {
    uint64_t a, b;
} nn_fp_pair;

static inline uint64_t nn_fp_right(uint64_t v, int bits) { return v >> bits | v << (64 - bits); }
static inline uint64_t nn_fp_fold(uint64_t v) { return v ^ v >> 47; }

/* The bytes at s as a number, the first the lowest */
static inline uint64_t nn_fp_number(const uint8_t *s, int bytes) {
    uint64_t v = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(&v, s, (size_t)bytes);
#else
    for (int i = 0; i < bytes; i++) v |= (uint64_t)s[i] << 8 * i;
#endif
    return v;
}
static inline uint64_t nn_fp_8(const uint8_t *s) { return nn_fp_number(s, 8); }

static inline uint64_t nn_fp_mix(uint64_t u, uint64_t v, uint64_t times) {
    const uint64_t a = nn_fp_fold((u ^ v) * times);
    return nn_fp_fold((v ^ a) * times) * times;
}

static inline uint64_t nn_fp_up_to_16(const uint8_t *s, size_t n) {
    const uint64_t times = nn_fp_2 + 2 * n;
    if (n >= 8) {
        const uint64_t a = nn_fp_8(s) + nn_fp_2, b = nn_fp_8(s + n - 8);
        return nn_fp_mix(nn_fp_right(b, 37) * times + a, (nn_fp_right(a, 25) + b) * times, times);
    }
    if (n >= 4) return nn_fp_mix(n + (nn_fp_number(s, 4) << 3), nn_fp_number(s + n - 4, 4), times);
    if (n == 0) return nn_fp_2;
    const uint64_t y = s[0] + ((uint64_t)s[n / 2] << 8), z = n + ((uint64_t)s[n - 1] << 2);
    return nn_fp_fold(y * nn_fp_2 ^ z * nn_fp_0) * nn_fp_2;
}

static inline uint64_t nn_fp_up_to_32(const uint8_t *s, size_t n) {
    const uint64_t times = nn_fp_2 + 2 * n, a = nn_fp_8(s) * nn_fp_1, b = nn_fp_8(s + 8);
    const uint64_t c = nn_fp_8(s + n - 8) * times, d = nn_fp_8(s + n - 16) * nn_fp_2;
    return nn_fp_mix(nn_fp_right(a + b, 43) + nn_fp_right(c, 30) + d, a + nn_fp_right(b + nn_fp_2, 18) + c, times);
}

static inline uint64_t nn_fp_up_to_64(const uint8_t *s, size_t n) {
    const uint64_t times = nn_fp_2 + 2 * n, a = nn_fp_8(s) * nn_fp_2, b = nn_fp_8(s + 8);
    const uint64_t c = nn_fp_8(s + n - 8) * times, d = nn_fp_8(s + n - 16) * nn_fp_2;
    const uint64_t y = nn_fp_right(a + b, 43) + nn_fp_right(c, 30) + d;
    const uint64_t z = nn_fp_mix(y, a + nn_fp_right(b + nn_fp_2, 18) + c, times);
    const uint64_t e = nn_fp_8(s + 16) * times, f = nn_fp_8(s + 24);
    const uint64_t g = (y + nn_fp_8(s + n - 32)) * times, h = (z + nn_fp_8(s + n - 24)) * times;
    return nn_fp_mix(nn_fp_right(e + f, 43) + nn_fp_right(g, 30) + h, e + nn_fp_right(f + a, 18) + g, times);
}

static inline nn_fp_pair nn_fp_32_more(const uint8_t *s, uint64_t a, uint64_t b) {
    const uint64_t last = nn_fp_8(s + 24), first = a + nn_fp_8(s);
    const uint64_t sum = first + nn_fp_8(s + 8) + nn_fp_8(s + 16);
    const uint64_t turned = nn_fp_right(b + first + last, 21) + nn_fp_right(sum, 44);
    return (nn_fp_pair){sum + last, turned + first};
}

typedef struct {
    uint64_t x, y, z;
    nn_fp_pair v, w;
} nn_fp_state;

/* 64 bytes more; `nine`: by how much two of the terms count, which is more for the last ones */
static inline nn_fp_state nn_fp_block(nn_fp_state t, const uint8_t *s, uint64_t times, uint64_t nine) {
    uint64_t x = nn_fp_right(t.x + t.y + t.v.a + nn_fp_8(s + 8), 37) * times;
    uint64_t y = nn_fp_right(t.y + t.v.b + nn_fp_8(s + 48), 42) * times;
    x ^= t.w.b * nine;
    y += t.v.a * nine + nn_fp_8(s + 40);
    const uint64_t z = nn_fp_right(t.z + t.w.a, 33) * times;
    const nn_fp_pair v = nn_fp_32_more(s, t.v.b * times, x + t.w.a);
    const nn_fp_pair w = nn_fp_32_more(s + 32, z + t.w.b, y + nn_fp_8(s + 16));
    return (nn_fp_state){.x = z, .y = y, .z = x, .v = v, .w = w};
}

static inline uint64_t nn_fingerprint(const void *bytes, size_t n) {
    const uint8_t *s = bytes;
    if (n <= 16) return nn_fp_up_to_16(s, n);
    if (n <= 32) return nn_fp_up_to_32(s, n);
    if (n <= 64) return nn_fp_up_to_64(s, n);
    const uint64_t seed = 81, y = seed * nn_fp_1 + 113;
    nn_fp_state t = {.x = seed * nn_fp_2 + nn_fp_8(s), .y = y, .z = nn_fp_fold(y * nn_fp_2 + 113) * nn_fp_2};
    const uint8_t *end = s + (n - 1) / 64 * 64;
    for (; s != end; s += 64) t = nn_fp_block(t, s, nn_fp_1, 1);
    const uint64_t times = nn_fp_1 + ((t.z & 255) << 1), rest = (n - 1) % 64;
    t.w.a += rest;
    t.v.a += t.w.a;
    t.w.a += t.v.a;
    t = nn_fp_block(t, (const uint8_t *)bytes + n - 64, times, 9);
    return nn_fp_mix(nn_fp_mix(t.v.a, t.w.a, times) + nn_fp_fold(t.y) * nn_fp_0 + t.z,
                     nn_fp_mix(t.v.b, t.w.b, times) + t.x, times);
}

static inline void nn_sip_round(uint64_t v[4]) {
    for (int half = 0; half < 2; half++) { /* of columns 0 1 and 2 3, then of 0 3 and 2 1 */
        const int p = half ? 3 : 1, q = half ? 1 : 3;
        v[0] += v[p], v[p] = nn_fp_right(v[p], half ? 43 : 51) ^ v[0];
        v[2] += v[q], v[q] = nn_fp_right(v[q], half ? 47 : 48) ^ v[2];
        if (half)
            v[2] = nn_fp_right(v[2], 32);
        else
            v[0] = nn_fp_right(v[0], 32);
    }
}

static inline uint64_t nn_keyed_fingerprint(uint64_t key0, uint64_t key1, const void *bytes, size_t n) {
    const uint8_t *s = bytes, *end = s + n / 8 * 8;
    uint64_t v[4] = {key0 ^ 0x736f6d6570736575u, key1 ^ 0x646f72616e646f6du, key0 ^ 0x6c7967656e657261u,
                     key1 ^ 0x7465646279746573u};
    for (;; s += 8) {
        const uint64_t m = s < end ? nn_fp_8(s) : (uint64_t)n << 56 | nn_fp_number(s, (int)(n % 8));
        v[3] ^= m;
        nn_sip_round(v);
        nn_sip_round(v);
        v[0] ^= m;
        if (s == end) break;
    }
    v[2] ^= 255;
    for (int i = 0; i < 4; i++) nn_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static inline uint64_t nn_joined_fingerprint(uint64_t a, uint64_t b) {
    const uint64_t times = 0xc6a4a7935bd1e995u;
    const uint64_t both = (a ^ times ^ nn_fp_fold(b * times) * times) * times;
    return nn_fp_fold(nn_fp_fold(both) * times);
}

#endif
