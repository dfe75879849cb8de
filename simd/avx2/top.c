#include "simd/avx2/vec.h"
#include "simd/generic/top.h"
