/* The first step of encoding, for those that take the others one by one. */
#ifndef VQR_ENCODE_H
#define VQR_ENCODE_H

#include "runtime/sequence.h"

/* Embeds events first ... first + count of checked rows into the session's scratch, and looks up what the file stores
 * of them; count <= VQR_EVENT_BLOCK. What a sequence's own codewords are is for vqr_assignments_of to say. Errors:
 * those of vqr_gather, and TABLE for a stored codeword that there is not. */
enum vqr_status vqr_load_events(vqr_session *session, const struct vqr_rows *events, size_t first, size_t count,
                                struct vqr_stats *stats, struct vqr_event_block *block, struct vqr_error *error);

#endif
