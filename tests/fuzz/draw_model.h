/* A small model that is right, drawn from an input's bytes: everything that a model can switch. */
#ifndef VQR_TESTS_FUZZ_DRAW_MODEL_H
#define VQR_TESTS_FUZZ_DRAW_MODEL_H

#include "tests/fuzz/fuzz.h"
#include "tests/runtime_model.h"

struct runtime_options fuzz_draw_model(struct fuzz_input *input);

#endif
