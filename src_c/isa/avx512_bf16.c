/* avx512_bf16.c: AVX-512 with products of bfloat16 pairs, twice as many multiplications an instruction as float32. */
#define ISA avx512_bf16
#include "isa/avx512.h"

#if NN_REAL_BITS == 32
/* c + a₀ b₀ + a₁ b₁ in each lane; a: one pair for all lanes */
INLINE vf dot_pairs(vf c, word a, vu b) {
    return (vf)_mm512_dpbf16_ps((__m512)c, (__m512bh)b, (__m512bh)_mm512_set1_epi32((int)a));
}
#define BF16_KERNEL "bfloat16_vectors.h"
#endif

#include "isa/table.h"
