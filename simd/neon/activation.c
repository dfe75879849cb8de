#include "simd/neon/vec.h"
#include "simd/generic/activation.h"
