/* table.h: everything an ISA file computes, gathered in its table. Included last by each isa/….c, which
 * setup.py compiles once per real type. */
#include "operations/span.h"
#include "vectors/random.h"
#include "vectors/vecmath.h"
#include "operations/elementwise/elementwise.h"
#include "operations/dense/gemm.h"
#ifdef BF16_KERNEL
#include "operations/dense/bfloat16.h"
#else /* products of all precisions read weights as they are */
#define SCRATCH_BYTES GEMM_SCRATCH
#define PACK NULL
static int precision_for(int precision, nn_index rows, nn_index K, nn_index N) {
    (void)precision, (void)rows, (void)K, (void)N;
    return NN_PRECISION_highest;
}
static size_t packed_bytes(int precision, int transposed, nn_index rows, nn_index in, nn_index out) {
    (void)precision, (void)transposed, (void)rows, (void)in, (void)out;
    return 0;
}
#define WORDS_K ((nn_index)0)
#define pieces_of(precision) 0
#define cut_reals(n, x, y, piece, pieces) ((void)0)
#endif
#include "operations/arithmetic/arithmetic.h"
#include "operations/arrangement/arrangement.h"
#include "operations/convolution/convolution.h"
#include "operations/convolution/transposed.h"
#include "operations/dense/products.h"
#include "operations/depthwise/depthwise.h"
#include "operations/losses/losses.h"
#include "operations/metrics/metrics.h"
#include "operations/metrics/tallies.h"
#include "operations/embedding/embedding.h"
#include "operations/embedding/numbers.h"
#include "operations/normalization/columns.h"
#include "operations/normalization/normalization.h"
#include "operations/preprocessing/preprocessing.h"
#include "operations/parameters/parameters.h"
#include "operations/pooling/interpolation.h"
#include "operations/pooling/pooling.h"
#include "operations/random/noise.h"
#include "operations/images/images.h"
#include "operations/images/sampling.h"
#include "operations/data/gather.h"

#if NN_REAL_BITS == 32
#define ARITHMETIC "float32"
#else
#define ARITHMETIC "float64"
#endif
#ifndef GEMM_MEDIUM
#define GEMM_MEDIUM gemm
#define ARITHMETIC_MEDIUM ARITHMETIC
#define MR_MEDIUM MR
#endif
#ifndef GEMM_HIGH
#define GEMM_HIGH gemm
#define ARITHMETIC_HIGH ARITHMETIC
#define MR_HIGH MR
#endif
static const nn_span spans[] = {
#define OPERATION(name, pattern, flops, fusion, fields) span_##name,
#include "operations.def"
};

#define NN_PASTE4(a, b, c, d) a##b##c##d
#define NN_TABLE_NAME(isa, bits) NN_PASTE4(nn_table_, isa, _, bits)
#define NN_STRING1(x) #x
#define NN_STRING(x) NN_STRING1(x)

const nn_table NN_TABLE_NAME(ISA, NN_REAL_BITS) = {
    .isa = NN_STRING(ISA),
    .itemsize = sizeof(real),
    .lanes = LANES,
    .mr = {MR, MR_HIGH, MR_MEDIUM},
    .nr = NR,
    .gemm_scratch = (SCRATCH_BYTES + 63) / 64 * 64,
    .scratch = (SCRATCH_BYTES + 63) / 64 * 64 + WINDOW_BYTES,
    .gemm = {gemm, GEMM_HIGH, GEMM_MEDIUM},
    .arithmetic = {ARITHMETIC, ARITHMETIC_HIGH, ARITHMETIC_MEDIUM},
    .depth = block_k,
    .precision_for = precision_for,
    .packed_bytes = packed_bytes,
    .pack = PACK,
    .activate = {
#define ACTIVATION(name, saved, parameters) activate_##name,
#include "kernels.def"
    },
    .activate_backward = {
#define ACTIVATION(name, saved, parameters) activate_backward_##name,
#include "kernels.def"
    },
    .rowwise = {
#define ROWWISE(name, saved) name,
#include "kernels.def"
    },
    .rowwise_backward = {
#define ROWWISE(name, saved) name##_backward,
#include "kernels.def"
    },
    .add = add_elements,
    .multiply = multiply_elements,
    .rescale = rescale,
    .dropout = dropout,
    .column_sums = column_sums,
    .sum_squares = sum_squares,
    .regularize = regularize,
    .orthogonal = orthogonal_arrays,
    .constrain = constrain,
    .loss = {
#define LOSS(name, form, target, parameters) loss_##name,
#include "kernels.def"
    },
    .metric = {
#define METRIC(name, target, parameters) metric_##name,
#include "kernels.def"
    },
    .tally = {
#define TALLY(name, parameters) tally_##name,
#include "kernels.def"
    },
    .moments = column_moments,
    .update = {
#define OPTIMIZER(name, states, numbers) update_##name,
#include "operations/parameters/optimizers.def"
    },
    .gather = {
#define SOURCE(name, type) gather_##name,
#include "kernels.def"
    },
    .gather_integers = {
#define SOURCE(name, type) gather_integers_##name,
#include "kernels.def"
    },
    .span = spans,
    .function = {
#define FUNCTION(name) function_##name,
#include "kernels.def"
    },
};
