#include "simd/neon/vec.h"
#include "simd/generic/quantize.h"
