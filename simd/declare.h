/* Declares every kernel under the including ISA's name, FN(name): a kernel file that drifts from kernels.def stops
 * compiling. Kernels that an ISA does not write are declared and never defined. */
#define VQR_KERNEL(name, ret, params) vqr_##name##_fn FN(name);
#include "simd/kernels.def"
#undef VQR_KERNEL
