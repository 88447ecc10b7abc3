/* vector.h: the vector types of a template, for `real` = float or double (NN_REAL_BITS) and VECTOR_BYTES.
 *
 * An ISA file defines VECTOR_BYTES, includes this, adds the primitives that need its instructions
 * (vmask, mask_first, load_mask, store_mask, vmax, vmin, vsqrt, any_lane: whether one is not 0; to transpose:
 * load_blocks, zip_lo, zip_hi; for random numbers: vmul_even, products of the lower 32 bits of each 64-bit lane;
 * perhaps VSCALE, x 2ⁿ, and VDIVIDE, x / y without the divider for y in [2⁻⁶³, 2⁶⁴), |x| and |x / y| <
 * 2¹⁰³), then includes table.h. load_blocks fills each 16-byte block of a vector from p, p + step, p + 2 step, …;
 * zip_lo and zip_hi interleave the lower or upper halves of each 16-byte block of two vectors.
 * Comparisons of vectors give `vi` of 0 or −1 per lane. Arithmetic on them is plain C; write scalar × vector
 * to broadcast. Vectors never cross a function that is not inlined (their ABI depends on flags).
 */
#ifndef NNCORE_VECTOR_H
#define NNCORE_VECTOR_H

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "core/contract.h"

#if NN_REAL_BITS == 32
typedef float real;
typedef int32_t integer;
typedef uint32_t word;
#else
typedef double real;
typedef int64_t integer;
typedef uint64_t word;
#endif

#define LANES ((nn_index)(VECTOR_BYTES / sizeof(real)))
#define UNUSED __attribute__((unused))
#define INLINE static inline __attribute__((always_inline))

typedef real vf __attribute__((vector_size(VECTOR_BYTES)));
typedef integer vi __attribute__((vector_size(VECTOR_BYTES)));
typedef word vu __attribute__((vector_size(VECTOR_BYTES)));
typedef uint64_t v64 __attribute__((vector_size(VECTOR_BYTES)));
typedef real vf_any __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

INLINE vf vload(const real *p) { return *(const vf_any *)p; }
INLINE void vstore(real *p, vf v) { *(vf_any *)p = v; }
INLINE vf vset(real s) { return s - (vf){0}; } /* x − 0 is x, also for −0: folds to one broadcast */
/* v, a product that is rounded before it is added to anything, whatever the compiler makes of the code around it. */
INLINE vf unfused(vf v) {
#if defined(__x86_64__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#else
    __asm__("" : "+m"(v));
#endif
    return v;
}
INLINE vf vselect(vi mask, vf a, vf b) { return (vf)(((vi)a & mask) | ((vi)b & ~mask)); }

#endif
