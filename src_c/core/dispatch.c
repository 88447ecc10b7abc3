/* dispatch.c: which compiled tables this CPU and its OS can run, weakest first.
 *
 * CPUID says what the CPU has, XGETBV what the OS saves at a context switch; both must agree.
 * To add an instruction set: its EXTERN line, its probe and its entry in `levels`.
 */
#include "core/contract.h"

#if defined(__x86_64__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

static unsigned os_saves(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

static int has_avx2(void) {
    unsigned a, b, c, d;
    if ((os_saves() & 0x6) != 0x6) return 0; /* xmm, ymm */
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_FMA)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

static int has_avx512(void) {
    unsigned a, b, c, d;
    const unsigned need = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((os_saves() & 0xe6) != 0xe6) return 0; /* xmm, ymm, mask registers, zmm */
    return has_avx2() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & need) == need;
}

static int has_avx512_bf16(void) {
    unsigned a, b, c, d;
    return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 5);
}

/* CPUs that have tiles, which the system may refuse, do dot products of bfloat16 in vectors at half the rate of
 * float32's multiply-adds: (256,512,512) 103, not 178 GFLOP/s (Sapphire Rapids). Zen 4 does them at twice that rate. */
static int fast_avx512_bf16(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && !(d & 1 << 22); /* AMX-BF16 */
}

/* Linux keeps no room for tiles unless a process asks, and may refuse; what it gives makes every context larger. */
static int may_use_tiles(void) {
#ifdef __linux__
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return 0;
#endif
}

static int has_amx(void) {
#ifdef NNCORE_EMULATE_AMX
    return has_avx512_bf16();
#else
    unsigned a, b, c, d;
    const unsigned need = 1 << 22 | 1 << 24;     /* AMX-BF16, AMX-TILE */
    if ((os_saves() & 0x60000) != 0x60000) return 0; /* tile configuration and data */
    return has_avx512_bf16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & need) == need && may_use_tiles();
#endif
}
#endif

static int always(void) { return 1; }

/* Weak: NULL where a level was left out of the build. */
#define EXTERN(isa) extern const nn_table nn_table_##isa##_32 __attribute__((weak)), \
                                          nn_table_##isa##_64 __attribute__((weak));
EXTERN(portable)
#if defined(__x86_64__)
EXTERN(avx2)
EXTERN(avx512)
EXTERN(avx512_bf16)
EXTERN(amx)
#endif

static const struct level {
    int (*runs)(void);
    int (*pays)(void); /* it is no slower than the level before */
    const nn_table *f32, *f64;
} levels[] = {
    {always, always, &nn_table_portable_32, &nn_table_portable_64},
#if defined(__x86_64__)
    {has_avx2, always, &nn_table_avx2_32, &nn_table_avx2_64},
    {has_avx512, always, &nn_table_avx512_32, &nn_table_avx512_64},
    {has_avx512_bf16, fast_avx512_bf16, &nn_table_avx512_bf16_32, &nn_table_avx512_bf16_64},
    {has_amx, always, &nn_table_amx_32, &nn_table_amx_64},
#endif
};

int nn_table_runs(int level) {
    return level < (int)(sizeof levels / sizeof *levels) && levels[level].f32 && levels[level].runs();
}

int nn_table_pays(int level) { return levels[level].pays(); }

const nn_table *nn_table_at(int level, int bits) { return bits == 32 ? levels[level].f32 : levels[level].f64; }
