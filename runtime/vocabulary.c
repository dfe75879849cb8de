#include "runtime/vocabulary.h"

#include <inttypes.h>
#include <string.h>

#include "runtime/error.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* One key of a vocabulary as the file stores it. */
struct key {
    uint64_t value;  /* the integer, or the string's first byte in the text */
    uint32_t length; /* of the string */
    uint32_t kind;   /* 0 integer, 1 string */
};

static struct key stored_key(const struct vqr_table *table, size_t i)
{
    const uint32_t *k = table->keys + 4 * i;
    const struct key key = {(uint64_t)k[1] << 32 | k[0], k[2], k[3]};
    return key;
}

/* The bytes of a stored string, or NULL when the file points outside its text. */
static const uint8_t *stored_text(const struct vqr_table *table, const struct key *key)
{
    if (key->value > table->text_size || key->length > table->text_size - key->value)
        return NULL;
    return table->text + key->value;
}

static int same_id(const struct vqr_table *table, const struct key *key, struct vqr_id id)
{
    if (!id.string)
        return key->kind == 0 && key->value == (uint64_t)id.value;
    if (key->kind != 1 || key->length != (uint64_t)id.value)
        return 0;
    const uint8_t *text = stored_text(table, key);
    return text && memcmp(text, id.string, key->length) == 0;
}

static uint64_t hash_id(struct vqr_id id)
{
    if (id.string)
        return XXH3_64bits(id.string, (size_t)id.value);
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)((uint64_t)id.value >> (8 * i));
    return XXH3_64bits(bytes, sizeof bytes);
}

/* Linear probing, bounded by the file's own longest probe; whatever a hostile file holds, rows stay in range. */
static uint32_t vocabulary_row(const struct vqr_table *table, struct vqr_id id)
{
    const size_t mask = table->slot_count - 1;
    size_t slot = (size_t)hash_id(id) & mask;
    for (size_t probe = 0; probe <= table->max_probe; probe++, slot = (slot + 1) & mask) {
        const uint32_t row = table->slots[slot];
        if (row == 0)
            return 0;
        if (row <= table->key_count) {
            const struct key key = stored_key(table, row - 1);
            if (same_id(table, &key, id))
                return row;
        }
    }
    return 0;
}

int vqr_table_takes_strings(const struct vqr_table *table)
{
    return table->ids != VQR_IDS_DIRECT;
}

uint32_t vqr_table_row(const struct vqr_table *table, struct vqr_id id, int *known)
{
    if (table->ids == VQR_IDS_DIRECT) {
        *known = id.value >= 0 && (uint64_t)id.value < table->rows;
        return *known ? (uint32_t)id.value : 0;
    }
    if (table->ids == VQR_IDS_HASH) {
        *known = 1;
        return (uint32_t)(1 + hash_id(id) % (table->rows - 1));
    }
    const uint32_t row = vocabulary_row(table, id);
    *known = row != 0;
    return row;
}

enum vqr_status vqr_vocabulary_verify(const struct vqr_table *table, struct vqr_error *error)
{
    for (size_t i = 0; table->ids == VQR_IDS_VOCABULARY && i < table->key_count; i++) {
        const struct key key = stored_key(table, i);
        const uint8_t *text = key.kind == 1 ? stored_text(table, &key) : NULL;
        if (key.kind > 1 || (key.kind == 1 && !text) || (key.kind == 0 && key.length != 0))
            return vqr_fail(error, VQR_ERROR_FORMAT, "table \"%s\": key %zu is damaged", table->name, i);
        const struct vqr_id id = {(const char *)text, key.kind == 1 ? (int64_t)key.length : (int64_t)key.value};
        if (vocabulary_row(table, id) != i + 1)
            return vqr_fail(error, VQR_ERROR_FORMAT, "table \"%s\": key %zu is not found at row %zu", table->name, i,
                            i + 1);
    }
    for (size_t i = 0; i < table->slot_count; i++)
        if (table->slots[i] > table->key_count)
            return vqr_fail(error, VQR_ERROR_FORMAT,
                            "table \"%s\": slot %zu names row %" PRIu32 ", expected at most %zu", table->name, i,
                            table->slots[i], table->key_count);
    return VQR_OK;
}
