/* portable.c: 16-byte vectors in plain C, which GCC and Clang turn into the baseline's (SSE2, NEON, …). */
#define ISA portable
#define VECTOR_BYTES 16
#define MR 6 /* 6 × 2 accumulators + 2 of B + 1 of A fit 16 registers */
#include "vectors/vector.h"

typedef nn_index vmask; /* how many of the first lanes */

INLINE vmask mask_first(nn_index n) { return n; }

/* n ≥ 1. No branches: where a product and the sum it is added to part ways in them, some lanes are fused on a machine
 * that has multiply-add at its baseline and others are not, and a row's bits hang on its place. */
INLINE vf load_mask(const real *p, vmask n) {
    typedef real any __attribute__((aligned(1), may_alias)); /* rows of a data set may be misaligned */
    vf v;
    vi lane;
    for (nn_index i = 0; i < LANES; i++) {
        v[i] = ((const any *)p)[i & -(nn_index)(i < n)];
        lane[i] = (integer)i;
    }
    return (vf)((vi)v & ((integer)n > lane));
}

INLINE void store_mask(real *p, vmask n, vf v) {
    for (nn_index i = 0; i < LANES; i++)
        if (i < n) p[i] = v[i];
}

/* The second operand where either is nan, as of the SSE instructions; the first of two zeros, so that a denormal is not
 * the maximum of 0 and itself. */
INLINE vf vmax(vf a, vf b) { return vselect(b <= a, a, b); }
INLINE vf vmin(vf a, vf b) { return vselect(b >= a, a, b); }

INLINE vf vsqrt(vf a) {
    for (nn_index i = 0; i < LANES; i++)
        a[i] = (real)(sizeof(real) == 4 ? __builtin_sqrtf((float)a[i]) : __builtin_sqrt(a[i]));
    return a;
}

#if NN_REAL_BITS == 32
INLINE vf zip_lo(vf a, vf b) { return (vf){a[0], b[0], a[1], b[1]}; }
INLINE vf zip_hi(vf a, vf b) { return (vf){a[2], b[2], a[3], b[3]}; }
#else
INLINE vf zip_lo(vf a, vf b) { return (vf){a[0], b[0]}; }
INLINE vf zip_hi(vf a, vf b) { return (vf){a[1], b[1]}; }
#endif
INLINE vf load_blocks(const real *p, nn_index step) {
    (void)step;
    return vload(p);
}

INLINE int any_lane(vi v) {
    integer any = 0;
    for (nn_index i = 0; i < LANES; i++) any |= v[i];
    return any != 0;
}
INLINE v64 vmul_even(v64 a, uint32_t b) { return (a & UINT32_MAX) * (uint64_t)b; }

#include "isa/table.h"
