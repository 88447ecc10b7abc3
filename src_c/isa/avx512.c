/* avx512.c: AVX-512 F, BW, DQ, VL. */
#define ISA avx512
#include "isa/avx512.h"
#include "isa/table.h"
