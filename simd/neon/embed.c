#include "simd/neon/vec.h"
#include "simd/generic/embed.h"
