/* replay_TARGET FILE|FOLDER...: runs a fuzz target on stored inputs: a corpus, or a file that a crash left behind. With
 * any compiler; libFuzzer is not needed. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

enum { PATH_SIZE = 4096 };

/* In memory that ends where the input ends, so that reading past it is seen. */
static void run_file(const char *path)
{
    struct stat about;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &about) != 0)
        fuzz_fail("%s: %s", path, strerror(errno));
    const size_t size = (size_t)about.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, file) != size)
        fuzz_fail("%s: not read", path);
    fclose(file);
    fprintf(stderr, "%s\n", path); /* before it runs: the last name is the one that crashed */
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static size_t run_folder(const char *path)
{
    struct dirent **entries;
    const int count = scandir(path, &entries, visible, alphasort);
    if (count < 0)
        fuzz_fail("%s: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        char name[PATH_SIZE];
        if (snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name) >= (int)sizeof name)
            fuzz_fail("%s/%s: the name is too long", path, entries[i]->d_name);
        run_file(name);
        free(entries[i]);
    }
    free(entries);
    return (size_t)count;
}

int main(int argc, char **argv)
{
    size_t runs = 0;
    for (int i = 1; i < argc; i++) {
        struct stat about;
        if (stat(argv[i], &about) != 0)
            fuzz_fail("%s: %s", argv[i], strerror(errno));
        if (S_ISDIR(about.st_mode)) {
            runs += run_folder(argv[i]);
        } else {
            run_file(argv[i]);
            runs++;
        }
    }
    printf("%zu inputs\n", runs);
    return runs > 0 ? 0 : 2; /* a corpus that is not there proves nothing */
}
