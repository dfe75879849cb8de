#include "simd/neon/vec.h"
#include "simd/generic/norm.h"
