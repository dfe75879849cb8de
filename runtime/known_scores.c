#include "runtime/known_scores.h"

#include <string.h>

/* Rows of the feature's table, if it has one row per event; 0 if chains cannot be kept. */
static size_t rows_of(const struct vqr_inputs *events, size_t feature)
{
    const struct vqr_input *input = &events->input[feature];
    return input->kind == VQR_FEATURE_ID ? input->table->rows : 0;
}

static size_t bytes_of(size_t rows, const struct vqr_known_room *room)
{
    return vqr_times(rows, vqr_plus(vqr_times(room->columns, sizeof(float)), room->slots));
}

bool vqr_known_is_kept(const struct vqr_inputs *events, size_t feature, const struct vqr_known_room *room)
{
    const size_t rows = rows_of(events, feature);
    size_t bytes = bytes_of(rows, room);
    for (size_t f = 0; f < events->count; f++) {
        const size_t others = rows_of(events, f);
        if (others < rows || (others == rows && f < feature))
            bytes = vqr_plus(bytes, bytes_of(others, room));
    }
    return rows != 0 && bytes <= room->bytes;
}

size_t vqr_known_width(const struct vqr_inputs *events, const struct vqr_known_room *room)
{
    size_t width = 0;
    for (size_t f = 0; f < events->count; f++)
        width += vqr_known_is_kept(events, f, room) ? events->input[f].width : 0;
    return width;
}

void vqr_known_take(const struct vqr_inputs *events, const struct vqr_known_room *room, struct vqr_known *known,
                    struct vqr_arena *arena)
{
    *known = (struct vqr_known){vqr_known_width(events, room), NULL, NULL};
    if (known->width == 0)
        return;
    known->table = vqr_take(arena, events->count, sizeof *known->table);
    known->given = vqr_take(arena, events->count, sizeof *known->given);
    for (size_t f = 0; f < events->count; f++) {
        struct vqr_known_table table = {NULL, NULL, rows_of(events, f)};
        if (vqr_known_is_kept(events, f, room)) {
            table.scores = vqr_take(arena, vqr_times(table.rows, room->columns), sizeof *table.scores);
            table.filled = vqr_take(arena, vqr_times(room->slots, table.rows), sizeof *table.filled);
        }
        if (known->table)
            known->table[f] = table;
        if (table.filled)
            memset(table.filled, 0, room->slots * table.rows);
    }
}

/* Computes the rows of the block's events that one codebook does not have. `at`: the feature's first column of e. */
static void fill(const struct vqr_kernels *k, const struct vqr_known_table *table, const struct vqr_known_place *place,
                 const struct vqr_inputs *events, size_t feature, const float *fold,
                 const struct vqr_event_block *block)
{
    const size_t at = events->input[feature].offset, width = events->input[feature].width;
    const uint32_t *row = block->row + feature * VQR_EVENT_BLOCK;
    uint8_t *filled = table->filled + place->slot * table->rows;
    float *scores = table->scores + place->column * table->rows;
    for (size_t r = 0; r < block->rows; r++) {
        if (filled[row[r]])
            continue;
        k->gemm_f32(scores + row[r] * place->columns, place->columns, block->e + r * block->stride + at, block->stride,
                    1, fold + at * VQR_LANES, events->width * VQR_LANES, width, vqr_panels(place->columns), NULL);
        filled[row[r]] = 1;
    }
}

const struct vqr_known_scores *vqr_known_of(const struct vqr_inputs *events, const struct vqr_kernels *k,
                                            struct vqr_known *known, const struct vqr_known_place *place,
                                            const float *fold, const struct vqr_event_block *block)
{
    if (!known->table)
        return NULL;
    for (size_t f = 0; f < events->count; f++) {
        const struct vqr_known_table *table = &known->table[f];
        known->given[f] = (struct vqr_known_scores){NULL, 0, NULL};
        if (!table->scores)
            continue;
        fill(k, table, place, events, f, fold, block);
        known->given[f] = (struct vqr_known_scores){table->scores + place->column * table->rows, place->columns,
                                                    block->row + f * VQR_EVENT_BLOCK};
    }
    return known->given;
}
