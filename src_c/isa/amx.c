/* amx.c: AVX-512 with bfloat16, and AMX tiles: 16 rows of 64 bytes, of which one instruction multiplies two.
 *
 * The kernel lets a process use tiles once it has asked (dispatch.c). NNCORE_EMULATE_AMX builds this file for tests
 * on a CPU without tiles.
 */
#define ISA amx
#include "isa/avx512.h"

#if NN_REAL_BITS == 32
#ifdef NNCORE_EMULATE_AMX
#include "operations/dense/tiles_emulated.h"
#else
/* The instructions do not tell the compiler what they read. */
#define tiles_read(p) __asm__ volatile("" : : "r"(p) : "memory")
#define tile_configure(config) do { tiles_read(config); _tile_loadconfig(config); } while (0)
#define tile_release() _tile_release()
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, p, stride) _tile_loadd(t, p, stride)
#define tile_stream(t, p, stride) _tile_stream_loadd(t, p, stride) /* tileloaddt1: past L1 */
#define tile_store(t, p, stride) _tile_stored(t, p, stride)
#define tile_dot(c, a, b) _tile_dpbf16ps(c, a, b)
#endif
#define BF16_KERNEL "bfloat16_tiles.h"

/* x / y as the divider rounds it, which a root of the same vector keeps busy: Adam, 1,424 parameters, 537 → 395 ns
 * (Sapphire Rapids). After Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor",
 * IBM J. Res. Dev. 34 (1990): r is 1 / y but for 2⁻³⁸, then rounded; the remainder of q = x r is exact, or so
 * small that it would not change q: that is what x 2²⁵ is for. All x and y whose quotient is near enough to the
 * middle of two floats to be rounded to the wrong one were tried, with the seeds of a Sapphire Rapids. One of them,
 * y = 2 − 2⁻²³, has r at a tie, which setting the last bit of the seed breaks. */
INLINE vf quotient(vf x, vf y) {
    const __m512 scaled = _mm512_scalef_ps((__m512)x, _mm512_set1_ps(25)), d = (__m512)y;
    const __m512 seed = _mm512_or_ps(_mm512_rcp14_ps(d), _mm512_set1_ps(0x1p-149f));
    const __m512 error = _mm512_fnmadd_ps(d, seed, _mm512_set1_ps(1));
    const __m512 r = _mm512_fmadd_ps(seed, _mm512_fmadd_ps(error, error, error), seed);
    const __m512 q = _mm512_mul_ps(scaled, r);
    return (vf)_mm512_scalef_ps(_mm512_fnmadd_ps(_mm512_fmsub_ps(d, q, scaled), r, q), _mm512_set1_ps(-25));
}
#define VDIVIDE(x, y) quotient(x, y)
#endif

#include "isa/table.h"
