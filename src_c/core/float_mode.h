/* float_mode.h: the arithmetic that kernels compute with, whatever the calling thread was left with by others.
 *
 * Denormals are 0, as operands and as results; results are rounded to the nearest; no operation traps. Else a step
 * would be up to 50 times slower once Adam's m of a dead unit has decayed, and its bits would depend on a library that
 * sets the same bits for its own sake, and on which thread took a tile.
 * Every thread that works enters on its own, inside the parallel region: a thread that the runtime makes inherits the
 * mode of the one that makes it, and may work for others, too. On leaving, the caller gets all of its word back, the
 * flags of past operations included. Both together cost 3 to 7 ns (Zen 4); what is as it should be is not written.
 * The x87 of x86 is not used by kernels.
 */
#ifndef NNCORE_FLOAT_MODE_H
#define NNCORE_FLOAT_MODE_H

#include <stdint.h>

typedef uint64_t nn_float_mode; /* control and status of a thread's arithmetic */

#if defined(__x86_64__)
/* MXCSR. 6: denormal operands are zeros; 7–12: exceptions masked; 13–14: rounding, nearest; 15: flush to 0. */
enum { NN_FLUSHING = 0x9fc0, NN_STATUS = 0x3f };

static inline nn_float_mode nn_float_mode_now(void) {
    uint32_t now;
    __asm__ volatile("stmxcsr %0" : "=m"(now) : : "memory");
    return now;
}
static inline void nn_float_mode_set(nn_float_mode mode) {
    const uint32_t word = (uint32_t)mode;
    __asm__ volatile("ldmxcsr %0" : : "m"(word) : "memory");
}
#elif defined(__aarch64__)
/* FPCR, and FPSR in the upper half. FPCR 24: flush to zero, operands and results. */
#define NN_FLUSHING ((nn_float_mode)1 << 24)
#define NN_STATUS ((nn_float_mode)UINT32_MAX << 32)

static inline nn_float_mode nn_float_mode_now(void) {
    uint64_t control, status;
    __asm__ volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(control), "=r"(status) : : "memory");
    return control | status << 32;
}
static inline void nn_float_mode_set(nn_float_mode mode) {
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %1" : : "r"(mode & UINT32_MAX), "r"(mode >> 32) : "memory");
}
#else
enum { NN_FLUSHING = 0, NN_STATUS = 0 };
static inline nn_float_mode nn_float_mode_now(void) { return NN_FLUSHING; }
static inline void nn_float_mode_set(nn_float_mode mode) { (void)mode; }
#endif

static inline int nn_float_mode_fits(nn_float_mode mode) { return (mode & ~(nn_float_mode)NN_STATUS) == NN_FLUSHING; }

/* Before kernels are called; returns what `nn_float_mode_leave` puts back after them, on the same thread. */
static inline nn_float_mode nn_float_mode_enter(void) {
    const nn_float_mode callers = nn_float_mode_now();
    if (!nn_float_mode_fits(callers)) nn_float_mode_set(NN_FLUSHING);
    return callers;
}

static inline void nn_float_mode_leave(nn_float_mode callers) {
    if (!nn_float_mode_fits(callers) || nn_float_mode_now() != callers) nn_float_mode_set(callers);
}

#endif
