#include "simd/neon/vec.h"
#include "simd/generic/attention.h"
