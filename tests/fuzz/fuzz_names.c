/* A CSV file of names -> a table to look names up in. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "names.h"
#include "tests/fuzz/fuzz.h"

static void check_names(const struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        const struct name_entry *entry = &names->entries[i];
        const struct vqr_id id = {.string = entry->id, .value = (int64_t)strlen(entry->id)};
        if (names_find(names, &id) != entry->name)
            fuzz_fail("id \"%s\" is not found", entry->id);
        if (i > 0 && strcmp(names->entries[i - 1].id, entry->id) >= 0)
            fuzz_fail("id \"%s\" is not above the one before", entry->id);
    }
    for (int64_t value = -1; value <= 1; value++)
        (void)names_find(names, &(struct vqr_id){.string = NULL, .value = value});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[FUZZ_PATH_SIZE];
    struct names names;
    struct refusal refusal;
    const int descriptor = fuzz_file_at(data, size, path);
    if (names_load(&names, path, &refusal))
        check_names(&names);
    else
        fuzz_check_message(refusal.message, sizeof refusal.message);
    names_free(&names);
    close(descriptor);
    return 0;
}
