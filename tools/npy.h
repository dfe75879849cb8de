/* Arrays in NumPy's .npy files: vectors in, codes out.
 *
 * Read are files of format version 1 or 2 with a two-dimensional array of little-endian float32 or float64 in C order,
 * a block of rows at a time; anything else is refused by name. */
#ifndef TOOLS_NPY_H
#define TOOLS_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "refusal.h"

struct npy_reader {
    FILE *file;
    size_t rows, columns;
    size_t row; /* the next to be read */
    bool doubles;
    void *raw; /* what one call reads of doubles */
    size_t raw_rows;
};

/* Opens a file and checks that it holds as many bytes as it says. npy_close in either case. */
bool npy_open(struct npy_reader *reader, const char *path, struct refusal *refusal);

/* The next `rows` rows, which the array still has, into x[rows][columns]; float64 is rounded once. Refuses what is not
 * finite, by row and column. */
bool npy_read(struct npy_reader *reader, float *x, size_t rows, struct refusal *refusal);

void npy_close(struct npy_reader *reader);

/* The header of a file of `rows` x `columns` little-endian numbers of `type`, such as "<u2". */
bool npy_write_header(FILE *file, const char *type, size_t rows, size_t columns);

#endif
