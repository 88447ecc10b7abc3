/* windows.h: how windows lie along an axis, from the attributes WINDOWS of an operation (operations.def). */
#ifndef NNCORE_WINDOWS_H
#define NNCORE_WINDOWS_H

#include "core/contract.h"

typedef struct window_axis {
    nn_index length, out, size, stride, dilation, before;
} window_axis;

#define WINDOWS_DOWN(op)                                                                                             \
    ((window_axis){(op)->height, (op)->out_h, (op)->size_h, (op)->stride_h, (op)->dilation_h, (op)->top})
#define WINDOWS_ACROSS(op)                                                                                           \
    ((window_axis){(op)->width, (op)->out_w, (op)->size_w, (op)->stride_w, (op)->dilation_w, (op)->left})

/* Places from the first of a window to its last, both included. */
static inline nn_index window_reach(window_axis a) { return (a.size - 1) * a.dilation + 1; }

#endif
