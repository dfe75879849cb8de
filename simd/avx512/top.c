#include "simd/avx512/vec.h"
#include "simd/generic/top.h"
