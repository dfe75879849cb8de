#include "ordered.h"

#include <stdlib.h>

void ordered_init(struct ordered *ordered, FILE *out, bool flush)
{
    *ordered = (struct ordered){.out = out, .flush = flush};
    pthread_mutex_init(&ordered->mutex, NULL);
    pthread_cond_init(&ordered->advanced, NULL);
}

/* Writes the texts whose turn it is. */
static void write_ready(struct ordered *ordered)
{
    struct ordered_text *ready;
    while ((ready = &ordered->waiting[ordered->next % ORDERED_WAITING])->text != NULL) {
        if (!ordered->failed && (fwrite(ready->text, 1, ready->size, ordered->out) != ready->size ||
                                 (ordered->flush && fflush(ordered->out) != 0)))
            ordered->failed = true;
        free(ready->text);
        *ready = (struct ordered_text){0};
        ordered->next++;
    }
}

bool ordered_put(struct ordered *ordered, uint64_t number, char *text, size_t size)
{
    pthread_mutex_lock(&ordered->mutex);
    /* Whoever has the number `next` never waits here, so those who do are let go. */
    while (!ordered->failed && number >= ordered->next + ORDERED_WAITING)
        pthread_cond_wait(&ordered->advanced, &ordered->mutex);
    if (ordered->failed) {
        free(text);
    } else {
        ordered->waiting[number % ORDERED_WAITING] = (struct ordered_text){.text = text, .size = size};
        if (number == ordered->next) {
            write_ready(ordered);
            pthread_cond_broadcast(&ordered->advanced);
        }
    }
    const bool written = !ordered->failed;
    pthread_mutex_unlock(&ordered->mutex);
    return written;
}

void ordered_fail(struct ordered *ordered)
{
    pthread_mutex_lock(&ordered->mutex);
    ordered->failed = true;
    pthread_cond_broadcast(&ordered->advanced);
    pthread_mutex_unlock(&ordered->mutex);
}

void ordered_free(struct ordered *ordered)
{
    for (size_t i = 0; i < ORDERED_WAITING; i++)
        free(ordered->waiting[i].text);
    pthread_cond_destroy(&ordered->advanced);
    pthread_mutex_destroy(&ordered->mutex);
}
