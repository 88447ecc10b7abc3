/* What one core can do at most: loops of nothing but fused multiply-adds, in float32 and in bfloat16 products that
 * are accumulated in float32; a plain copy, a plain read, and instructions that do nothing. machine.py compiles this
 * for the instruction set at hand and times it.
 * Twelve independent chains hide the latency of FMA on every x86 and fit 16 registers. */
#include <time.h>

#if defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif
typedef float vf __attribute__((vector_size(BYTES)));
enum { CHAINS = 12 };

double fma_flops(void) { return 2.0 * CHAINS * BYTES / 4; } /* of one pass */

float fma_run(long passes, float a, float b) {
    vf c[CHAINS], va = a - (vf){0}, vb = b - (vf){0}, sum = {0};
    for (int k = 0; k < CHAINS; k++) c[k] = (float)k - (vf){0}; /* unlike, or the compiler merges them */
    for (long i = 0; i < passes; i++)
        for (int k = 0; k < CHAINS; k++) c[k] = c[k] * va + vb;
    for (int k = 0; k < CHAINS; k++) sum += c[k];
    return sum[0];
}

/* n floats. Compiled so that it stays a loop: memcpy's streaming stores are slower on some machines. */
void copy_run(long n, float *to, const float *from) {
    typedef float any __attribute__((vector_size(BYTES), aligned(4), may_alias));
    enum { LANES = BYTES / 4 };
    for (long i = 0; i + LANES <= n; i += LANES) *(any *)(to + i) = *(const any *)(from + i);
}

/* n floats, read and summed. */
float read_run(long n, const float *from) {
    typedef float any __attribute__((vector_size(BYTES), aligned(4), may_alias));
    enum { LANES = BYTES / 4 };
    vf c[CHAINS] = {{0}}, sum = {0};
    for (long i = 0; i + CHAINS * LANES <= n; i += CHAINS * LANES)
        for (int k = 0; k < CHAINS; k++) c[k] += *(const any *)(from + i + k * LANES);
    for (int k = 0; k < CHAINS; k++) sum += c[k];
    return sum[0];
}

/* Seconds of `passes` times 24 nops. They need nothing but their turn in the core's front end, which a hyperthread that
 * works beside this one halves, whatever its work is. */
double nop_run(long passes) {
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long i = 0; i < passes; i++)
        __asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop;"
                         "nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop; nop");
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

#if defined(__AMX_BF16__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Six tiles accumulate, two hold operands: 16×16 results, 32 products deep. */
const char *bf16_unit(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) ? "" : "AMX";
}
double bf16_flops(void) { return 6 * 2.0 * 16 * 16 * 32; }
float bf16_run(long passes, float a, float b) {
    static const struct {
        unsigned char palette, start, zero[14];
        unsigned short bytes[16];
        unsigned char rows[16];
    } config = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    unsigned short data[16 * 32]; /* bfloat16 of any sign and fraction: with zeros the tiles run a fifth faster */
    unsigned random = 1;
    (void)a, (void)b;
    for (int k = 0; k < 16 * 32; k++) {
        random = random * 69069 + 1;
        data[k] = (unsigned short)(0x3f00 | (random >> 16 & 0x80ff));
    }
    _tile_loadconfig(&config);
    /* a tile's number is part of its instruction */
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_loadd(6, data, 64);
    _tile_loadd(7, data, 64);
    for (long i = 0; i < passes; i++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    _tile_release();
    return 0;
}
#elif defined(__AVX512BF16__)
#include <immintrin.h>

const char *bf16_unit(void) { return "AVX512-BF16"; }
double bf16_flops(void) { return CHAINS * 2.0 * 32; }
float bf16_run(long passes, float a, float b) {
    __m512 c[CHAINS];
    __m512bh va = _mm512_cvtne2ps_pbh(_mm512_set1_ps(a), _mm512_set1_ps(a));
    __m512bh vb = _mm512_cvtne2ps_pbh(_mm512_set1_ps(b), _mm512_set1_ps(b));
    vf sum = {0};
    for (int k = 0; k < CHAINS; k++) c[k] = _mm512_set1_ps((float)k);
    for (long i = 0; i < passes; i++)
        for (int k = 0; k < CHAINS; k++) c[k] = _mm512_dpbf16_ps(c[k], va, vb);
    for (int k = 0; k < CHAINS; k++) sum += (vf)c[k];
    return sum[0];
}
#else
const char *bf16_unit(void) { return ""; }
double bf16_flops(void) { return 0; }
float bf16_run(long passes, float a, float b) { return (float)passes * 0 * a * b; }
#endif
