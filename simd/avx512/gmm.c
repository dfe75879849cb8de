#include "simd/avx512/vec.h"
#include "simd/generic/gmm.h"
