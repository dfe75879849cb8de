/* ids -> rows of an embedding table. */
#ifndef VQR_VOCABULARY_H
#define VQR_VOCABULARY_H

#include "runtime/model.h"

/* The row of an id, 0 (the unknown row) if the table has none; *known says which. The id's type has been checked:
 * a direct table gets integers only. */
uint32_t vqr_table_row(const struct vqr_table *table, struct vqr_id id, int *known);

/* Whether the table takes strings. */
int vqr_table_takes_strings(const struct vqr_table *table);

/* Checks that every key of a vocabulary is found at its row. Errors: FORMAT. */
enum vqr_status vqr_vocabulary_verify(const struct vqr_table *table, struct vqr_error *error);

#endif
