#include "simd/neon/vec.h"
#include "simd/generic/gmm.h"
