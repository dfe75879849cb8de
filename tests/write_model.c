/* write_model FILE: writes a small complete model, for tests of the command that need some model. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/runtime_model.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: write_model FILE\n");
        return 2;
    }
    const struct runtime_options options = runtime_options_default();
    struct runtime_file file = runtime_build(&options);
    FILE *out = fopen(argv[1], "wb");
    const int written = out && fwrite(file.data, 1, file.size, out) == file.size;
    if (!written || fclose(out) != 0) {
        perror(argv[1]);
        return 1;
    }
    free(file.data);
    return 0;
}
