/* amx.c: AVX-512 with bfloat16, and AMX tiles: 16 rows of 64 bytes, of which one instruction multiplies two.
 *
 * The kernel lets a process use tiles once it has asked (dispatch.c). NNCORE_EMULATE_AMX builds this file for tests
 * on a CPU without tiles.
 */
#define ISA amx
#include "avx512.h"

#if NN_REAL_BITS == 32
#ifdef NNCORE_EMULATE_AMX
#include "../template/tiles_emulated.h"
#else
#define tiles_read(p) __asm__ volatile("" : : "r"(p) : "memory") /* the instructions do not tell the compiler what they read */
#define tile_configure(config) do { tiles_read(config); _tile_loadconfig(config); } while (0)
#define tile_release() _tile_release()
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, p, stride) _tile_loadd(t, p, stride)
#define tile_stream(t, p, stride) _tile_stream_loadd(t, p, stride) /* tileloaddt1: past L1 */
#define tile_store(t, p, stride) _tile_stored(t, p, stride)
#define tile_dot(c, a, b) _tile_dpbf16ps(c, a, b)
#endif
#define BF16_KERNEL "bfloat16_tiles.h"
#endif

#include "../template/table.h"
