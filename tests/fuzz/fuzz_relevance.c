/* Lines of {"id": ..., "relevant": [...]} -> which candidates are right. Every line of an accepted file must be found
 * again under its id. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "document.h"
#include "lines.h"
#include "relevance.h"
#include "tests/fuzz/fuzz.h"

static void check_line(const struct relevance *relevance, char *text, size_t length)
{
    struct document document;
    struct refusal refusal;
    if (!document_parse(&document, text, length, &refusal))
        fuzz_fail("accepted, but one line is refused: %s", refusal.message);
    const json_t *relevant = json_object_get(document.root, "relevant");
    const json_t *found = relevance_find(relevance, json_object_get(document.root, "id"));
    if (!found || !json_equal(found, relevant))
        fuzz_fail("the ids of a request are not found");
    size_t i;
    json_t *value;
    json_array_foreach(found, i, value)
    {
        const struct vqr_id id = {.string = json_string_value(value),
                                  .value = json_is_string(value) ? (int64_t)json_string_length(value)
                                                                 : json_integer_value(value)};
        if (!relevance_equal(value, &id))
            fuzz_fail("id %zu is not itself", i);
    }
    document_free(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[FUZZ_PATH_SIZE];
    struct relevance relevance;
    struct refusal refusal;
    const int descriptor = fuzz_file_at(data, size, path);
    if (relevance_load(&relevance, path, &refusal)) {
        struct line_reader reader;
        lines_init(&reader, descriptor, size + 1);
        while (lines_next(&reader) == LINE_READ)
            check_line(&relevance, reader.text, reader.length);
        lines_free(&reader);
    } else {
        fuzz_check_message(refusal.message, sizeof refusal.message);
    }
    relevance_free(&relevance);
    close(descriptor);
    return 0;
}
