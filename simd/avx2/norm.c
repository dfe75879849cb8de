#include "simd/avx2/vec.h"
#include "simd/generic/norm.h"
