/* table.h: everything an ISA file computes, gathered in its table. Included last by each isa/….c, which
 * setup.py compiles once per real type. */
#include "random.h"
#include "vecmath.h"
#include "elementwise.h"
#include "gemm.h"
#include "reduce.h"
#include "losses.h"
#include "update.h"
#include "gather.h"

#define NN_PASTE4(a, b, c, d) a##b##c##d
#define NN_TABLE_NAME(isa, bits) NN_PASTE4(nn_table_, isa, _, bits)
#define NN_STRING1(x) #x
#define NN_STRING(x) NN_STRING1(x)

const nn_table NN_TABLE_NAME(ISA, NN_REAL_BITS) = {
    .isa = NN_STRING(ISA),
    .itemsize = sizeof(real),
    .lanes = LANES,
    .mr = MR,
    .nr = NR,
    .gemm_scratch = GEMM_SCRATCH,
    .gemm = gemm,
    .activate = {
#define ACTIVATION(name, kept) activate_##name,
#include "../kernels.def"
    },
    .activate_backward = {
#define ACTIVATION(name, kept) activate_backward_##name,
#include "../kernels.def"
    },
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .add = add_elements,
    .multiply = multiply_elements,
    .rescale = rescale,
    .dropout = dropout,
    .column_sums = column_sums,
    .sum_squares = sum_squares,
    .regularize = regularize,
    .loss = {
#define LOSS(name, target) loss_##name,
#include "../kernels.def"
    },
    .metric = {
#define METRIC(name, target) metric_##name,
#include "../kernels.def"
    },
    .update = {
#define OPTIMIZER(name) update_##name,
#include "../kernels.def"
    },
    .gather = {
#define SOURCE(name, type) gather_##name,
#include "../kernels.def"
    },
    .gather_labels = {
#define SOURCE(name, type) gather_labels_##name,
#include "../kernels.def"
    },
    .function = {
#define FUNCTION(name) function_##name,
#include "../kernels.def"
    },
};
