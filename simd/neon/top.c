#include "simd/neon/vec.h"
#include "simd/generic/top.h"
