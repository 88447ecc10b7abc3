/* avx512.h: 64-byte vectors and the primitives of the instruction sets that build on AVX-512 F, BW, DQ, VL. */
#include <immintrin.h>
#define VECTOR_BYTES 64
#define MR 14 /* 14 × 2 accumulators + 2 of B + 2 of A fit 32 registers */
#include "vectors/vector.h"

#if NN_REAL_BITS == 32
typedef __mmask16 vmask;
INLINE vf load_mask(const real *p, vmask m) { return _mm512_maskz_loadu_ps(m, p); }
INLINE void store_mask(real *p, vmask m, vf v) { _mm512_mask_storeu_ps(p, m, v); }
INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE vf vsqrt(vf a) { return _mm512_sqrt_ps(a); }
#define VSCALE(x, n) _mm512_scalef_ps(x, n)
INLINE vf zip_lo(vf a, vf b) { return _mm512_unpacklo_ps(a, b); }
INLINE vf zip_hi(vf a, vf b) { return _mm512_unpackhi_ps(a, b); }
INLINE vf load_blocks(const real *p, nn_index step) {
    vf v = _mm512_castps128_ps512(_mm_loadu_ps(p));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + step), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 2 * step), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(p + 3 * step), 3);
}
#else
typedef __mmask8 vmask;
INLINE vf load_mask(const real *p, vmask m) { return _mm512_maskz_loadu_pd(m, p); }
INLINE void store_mask(real *p, vmask m, vf v) { _mm512_mask_storeu_pd(p, m, v); }
INLINE vf vmax(vf a, vf b) { return _mm512_max_pd(a, b); }
INLINE vf vmin(vf a, vf b) { return _mm512_min_pd(a, b); }
INLINE vf vsqrt(vf a) { return _mm512_sqrt_pd(a); }
#define VSCALE(x, n) _mm512_scalef_pd(x, n)
INLINE vf zip_lo(vf a, vf b) { return _mm512_unpacklo_pd(a, b); }
INLINE vf zip_hi(vf a, vf b) { return _mm512_unpackhi_pd(a, b); }
INLINE vf load_blocks(const real *p, nn_index step) {
    vf v = _mm512_castpd128_pd512(_mm_loadu_pd(p));
    v = _mm512_insertf64x2(v, _mm_loadu_pd(p + step), 1);
    v = _mm512_insertf64x2(v, _mm_loadu_pd(p + 2 * step), 2);
    return _mm512_insertf64x2(v, _mm_loadu_pd(p + 3 * step), 3);
}
#endif
INLINE int any_lane(vi v) { return _mm512_test_epi32_mask((__m512i)v, (__m512i)v) != 0; }
INLINE vmask mask_first(nn_index n) { return (vmask)(n >= LANES ? -1 : (1 << (n > 0 ? n : 0)) - 1); }
INLINE v64 vmul_even(v64 a, uint32_t b) { return (v64)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi32((int)b)); }

#if NN_REAL_BITS == 32 && defined(__AVX512BF16__)
/* 32 bfloat16, rounded to nearest even: those of `first`, then those of `second` */
INLINE vu halves(vf first, vf second) { return (vu)_mm512_cvtne2ps_pbh(second, first); }
/* their values, and whether there is an inf or nan among them */
INLINE vf first_half(vu x) { return (vf)((vu)_mm512_cvtepu16_epi32(_mm512_castsi512_si256((__m512i)x)) << 16); }
INLINE vf second_half(vu x) { return (vf)((vu)_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64((__m512i)x, 1)) << 16); }
INLINE int any_not_finite(vu x) {
    const __m512i exponent = _mm512_set1_epi16(0x7f80);
    return _mm512_cmpeq_epi16_mask(_mm512_and_si512((__m512i)x, exponent), exponent) != 0;
}
/* the same interleaved: first[0], second[0], first[1], second[1], … */
INLINE vu interleaved(vu x) {
    vu turns;
    for (int i = 0; i < 16; i++) turns[i] = (word)(i | (16 + i) << 16);
    return (vu)_mm512_permutexvar_epi16((__m512i)turns, (__m512i)x);
}
#endif
