/* avx2.c: 32-byte vectors, AVX2 and FMA. */
#include <immintrin.h>
#define ISA avx2
#define VECTOR_BYTES 32
#define MR 6 /* 6 × 2 accumulators + 2 of B + 1 of A fit 16 registers */
#include "vectors/vector.h"

typedef vi vmask;

#if NN_REAL_BITS == 32
INLINE vmask mask_first(nn_index n) { return (integer)n > (vi){0, 1, 2, 3, 4, 5, 6, 7}; }
INLINE vf load_mask(const real *p, vmask m) { return _mm256_maskload_ps(p, (__m256i)m); }
/* A masked store takes AMD's CPUs a dozen cycles; these branches seldom turn out otherwise than the last time. Masks
 * are of the first lanes. (10000,8,8): 57 → 26 µs. */
INLINE void store_mask(real *p, vmask m, vf v) {
    const int lanes = _mm256_movemask_ps((__m256)m);
    __m128 part = _mm256_castps256_ps128(v);
    if (lanes & 128) {
        vstore(p, v);
        return;
    }
    if (lanes & 8) _mm_storeu_ps(p, part), p += 4, part = _mm256_extractf128_ps(v, 1);
    const int rest = lanes & 8 ? lanes >> 4 : lanes;
    if (rest & 2) _mm_storel_pi((__m64 *)p, part), p += 2;
    if (rest & 4)
        _mm_store_ss(p, _mm_movehl_ps(part, part));
    else if (rest == 1)
        _mm_store_ss(p, part);
}
INLINE vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE vf vmin(vf a, vf b) { return _mm256_min_ps(a, b); }
INLINE vf vsqrt(vf a) { return _mm256_sqrt_ps(a); }
INLINE vf zip_lo(vf a, vf b) { return _mm256_unpacklo_ps(a, b); }
INLINE vf zip_hi(vf a, vf b) { return _mm256_unpackhi_ps(a, b); }
INLINE vf load_blocks(const real *p, nn_index step) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + step), 1);
}
#else
INLINE vmask mask_first(nn_index n) { return (integer)n > (vi){0, 1, 2, 3}; }
INLINE vf load_mask(const real *p, vmask m) { return _mm256_maskload_pd(p, (__m256i)m); }
INLINE void store_mask(real *p, vmask m, vf v) {
    const int lanes = _mm256_movemask_pd((__m256d)m);
    __m128d part = _mm256_castpd256_pd128(v);
    if (lanes & 8) {
        vstore(p, v);
        return;
    }
    if (lanes & 2) _mm_storeu_pd(p, part), p += 2, part = _mm256_extractf128_pd(v, 1);
    if (lanes == 1 || lanes == 7) _mm_store_sd(p, part);
}
INLINE vf vmax(vf a, vf b) { return _mm256_max_pd(a, b); }
INLINE vf vmin(vf a, vf b) { return _mm256_min_pd(a, b); }
INLINE vf vsqrt(vf a) { return _mm256_sqrt_pd(a); }
INLINE vf zip_lo(vf a, vf b) { return _mm256_unpacklo_pd(a, b); }
INLINE vf zip_hi(vf a, vf b) { return _mm256_unpackhi_pd(a, b); }
INLINE vf load_blocks(const real *p, nn_index step) {
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), _mm_loadu_pd(p + step), 1);
}
#endif
INLINE int any_lane(vi v) { return !_mm256_testz_si256((__m256i)v, (__m256i)v); }
INLINE v64 vmul_even(v64 a, uint32_t b) { return (v64)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi32((int)b)); }

#include "isa/table.h"
