#include "simd/neon/vec.h"
#include "simd/generic/gemm.h"
