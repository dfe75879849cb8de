#include "npy.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "text.h"

enum { PREFIX = 8, HEADER_MAX = 1 << 16, WORD_SIZE = 32, ALIGN = 64 };

static const char magic[] = "\x93NUMPY";

/* ---- the header: a Python dictionary ---- */

/* What the dictionary says. */
struct form {
    char descr[WORD_SIZE], order[WORD_SIZE];
    size_t shape[2], rank; /* the rank may be larger than 2 */
    bool has_shape;
};

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
        p++;
    return p;
}

/* A string in quotes without any inside, into word; NULL if there is none, or one too long. */
static const char *take_string(const char *p, char word[WORD_SIZE])
{
    const char quote = *p++;
    const char *end = quote == '\'' || quote == '"' ? strchr(p, quote) : NULL;
    if (end == NULL || end - p >= WORD_SIZE)
        return NULL;
    memcpy(word, p, (size_t)(end - p));
    word[end - p] = '\0';
    return end + 1;
}

/* True or False */
static const char *take_word(const char *p, char word[WORD_SIZE])
{
    size_t n = 0;
    while (isalpha((unsigned char)p[n]) && n + 1 < WORD_SIZE)
        n++;
    memcpy(word, p, n);
    word[n] = '\0';
    return n > 0 ? p + n : NULL;
}

/* "(100, 64)", "(7,)", "()" */
static const char *take_shape(const char *p, struct form *form)
{
    if (*p++ != '(')
        return NULL;
    form->rank = 0;
    form->has_shape = true;
    for (p = skip_blanks(p); *p != ')'; p = skip_blanks(p)) {
        size_t number = 0;
        if (!isdigit((unsigned char)*p))
            return NULL;
        for (; isdigit((unsigned char)*p); p++) {
            if (number > (SIZE_MAX - 9) / 10)
                return NULL;
            number = number * 10 + (size_t)(*p - '0');
        }
        if (form->rank < 2)
            form->shape[form->rank] = number;
        form->rank++;
        p = skip_blanks(p);
        if (*p == ',')
            p++;
        else if (*p != ')')
            return NULL;
    }
    return p + 1;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (100, 64), } in any order, each once. */
static bool parse_form(const char *p, struct form *form)
{
    char key[WORD_SIZE];
    p = skip_blanks(p);
    if (*p++ != '{')
        return false;
    for (p = skip_blanks(p); *p != '}'; p = skip_blanks(p)) {
        if ((p = take_string(p, key)) == NULL || *(p = skip_blanks(p)) != ':')
            return false;
        p = skip_blanks(p + 1);
        if (strcmp(key, "descr") == 0 && form->descr[0] == '\0' && (*p == '\'' || *p == '"'))
            p = take_string(p, form->descr);
        else if (strcmp(key, "fortran_order") == 0 && form->order[0] == '\0')
            p = take_word(p, form->order);
        else if (strcmp(key, "shape") == 0 && !form->has_shape)
            p = take_shape(p, form);
        else
            return false;
        if (p == NULL)
            return false;
        p = skip_blanks(p);
        if (*p == ',')
            p++;
        else if (*p != '}')
            return false;
    }
    return *skip_blanks(p + 1) == '\0' && form->descr[0] != '\0' && form->order[0] != '\0' && form->has_shape;
}

/* The header's text after the magic string, which is a C string then; NULL after a refusal. */
static char *read_header(FILE *file, const char *path, size_t *data, struct refusal *refusal)
{
    uint8_t start[PREFIX + 4];
    if (fread(start, 1, PREFIX, file) != PREFIX || memcmp(start, magic, sizeof magic - 1) != 0)
        return refuse(refusal, "format", "%s: expected a .npy file, found something else", path), NULL;
    const size_t width = start[6] == 1 ? 2 : 4;
    if (start[6] != 1 && start[6] != 2)
        return refuse(refusal, "format", "%s: expected .npy format version 1 or 2, found %d", path, start[6]), NULL;
    size_t length = 0;
    if (fread(start + PREFIX, 1, width, file) != width)
        return refuse(refusal, "format", "%s: the header is cut off", path), NULL;
    for (size_t i = width; i-- > 0;)
        length = length << 8 | start[PREFIX + i];
    if (length > HEADER_MAX)
        return refuse(refusal, "format", "%s: the header says it has %zu bytes, expected at most %d", path, length,
                      HEADER_MAX),
               NULL;
    char *text = calloc(length + 1, 1);
    if (text == NULL || fread(text, 1, length, file) != length) {
        if (text == NULL)
            refuse_memory(refusal, "the header of an array");
        else
            refuse(refusal, "format", "%s: the header is cut off", path);
        free(text);
        return NULL;
    }
    *data = PREFIX + width + length;
    return text;
}

static bool check_form(struct npy_reader *reader, const struct form *form, const char *path, struct refusal *refusal)
{
    if (strcmp(form->descr, "<f4") != 0 && strcmp(form->descr, "<f8") != 0)
        return refuse(refusal, "format", "%s: expected numbers of type <f4 or <f8, found %.*s; save x.astype('<f4')",
                      path, text_quoted_length(form->descr, WORD_SIZE), form->descr);
    if (strcmp(form->order, "False") != 0)
        return refuse(refusal, "format", "%s: expected C order, found fortran_order %s; save np.ascontiguousarray(x)",
                      path, form->order);
    if (form->rank != 2)
        return refuse(refusal, "format", "%s: expected an array of 2 dimensions, items and numbers, found %zu", path,
                      form->rank);
    reader->doubles = form->descr[2] == '8';
    reader->rows = form->shape[0];
    reader->columns = form->shape[1];
    return true;
}

static size_t number_size(const struct npy_reader *reader)
{
    return reader->doubles ? sizeof(double) : sizeof(float);
}

/* The file is as long as its header says. */
static bool check_length(const struct npy_reader *reader, const char *path, size_t data, struct refusal *refusal)
{
    struct stat status;
    const size_t most = (SIZE_MAX / 2 - data) / number_size(reader);
    const bool fits = reader->columns == 0 || reader->rows <= most / reader->columns;
    if (fstat(fileno(reader->file), &status) != 0 || !S_ISREG(status.st_mode))
        return refuse(refusal, "io", "%s: expected a regular file", path);
    const unsigned long long expected = data + reader->rows * reader->columns * number_size(reader);
    if (!fits || (unsigned long long)status.st_size != expected)
        return refuse(refusal, "format", "%s: shape (%zu, %zu) does not fit the file's %llu bytes", path, reader->rows,
                      reader->columns, (unsigned long long)status.st_size);
    return true;
}

/* ---- the face ---- */

bool npy_open(struct npy_reader *reader, const char *path, struct refusal *refusal)
{
    *reader = (struct npy_reader){.file = fopen(path, "rb")};
    if (reader->file == NULL)
        return refuse(refusal, "io", "cannot open %s: %s", path, strerror(errno));
    size_t data = 0;
    struct form form = {.rank = 0};
    char *text = read_header(reader->file, path, &data, refusal);
    if (text == NULL)
        return false;
    const bool parsed = parse_form(text, &form);
    free(text);
    if (!parsed)
        return refuse(refusal, "format", "%s: expected a header with descr, fortran_order and shape, found another",
                      path);
    return check_form(reader, &form, path, refusal) && check_length(reader, path, data, refusal);
}

static bool read_numbers(struct npy_reader *reader, float *x, size_t rows)
{
    const size_t count = rows * reader->columns;
    if (!reader->doubles)
        return fread(x, sizeof *x, count, reader->file) == count;
    if (rows > reader->raw_rows) {
        void *grown = realloc(reader->raw, count * sizeof(double) + 1);
        if (grown == NULL)
            return false;
        reader->raw = grown;
        reader->raw_rows = rows;
    }
    const double *numbers = reader->raw;
    if (fread(reader->raw, sizeof *numbers, count, reader->file) != count)
        return false;
    for (size_t i = 0; i < count; i++)
        x[i] = (float)numbers[i];
    return true;
}

bool npy_read(struct npy_reader *reader, float *x, size_t rows, struct refusal *refusal)
{
    if (!read_numbers(reader, x, rows))
        return refuse(refusal, "io", "cannot read items from %zu on: %s", reader->row,
                      ferror(reader->file) ? strerror(errno) : "the file changed, or memory ran out");
    for (size_t i = 0; i < rows * reader->columns; i++)
        if (!isfinite(x[i]))
            return refuse(refusal, "range", "item %zu: number %zu is %g, expected a finite float32",
                          reader->row + i / reader->columns, i % reader->columns, (double)x[i]);
    reader->row += rows;
    return true;
}

void npy_close(struct npy_reader *reader)
{
    if (reader->file != NULL)
        fclose(reader->file);
    free(reader->raw);
    *reader = (struct npy_reader){0};
}

bool npy_write_header(FILE *file, const char *type, size_t rows, size_t columns)
{
    char text[192];
    const int length = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%zu, %zu), }",
                                type, rows, columns);
    const size_t total = (PREFIX + 2 + (size_t)length + 1 + ALIGN - 1) / ALIGN * ALIGN, header = total - PREFIX - 2;
    const uint8_t start[] = {1, 0, (uint8_t)(header & 0xff), (uint8_t)(header >> 8)};
    return fwrite(magic, 1, sizeof magic - 1, file) == sizeof magic - 1 &&
           fwrite(start, 1, sizeof start, file) == sizeof start &&
           fprintf(file, "%s%*s\n", text, (int)(header - (size_t)length - 1), "") > 0;
}
