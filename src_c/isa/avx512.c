/* avx512.c: AVX-512 F, BW, DQ, VL. */
#define ISA avx512
#include "avx512.h"
#include "../template/table.h"
