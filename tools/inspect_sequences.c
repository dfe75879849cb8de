/* A model file's sequences, for people: what each is, what it caches of a user and what a candidate takes. */
#include <stdio.h>

#include "inspect.h"
#include "text.h"

/* `of_clusters`: of codebooks, which may share their weights. */
static void print_hstu(FILE *out, const struct vqr_header_hstu *hstu, bool of_clusters)
{
    inspect_print_label(out, "");
    if (hstu->layers == 0) {
        fprintf(out, "no HSTU: %s go on as they are\n", of_clusters ? "clusters" : "events");
        return;
    }
    fprintf(out, "HSTU: %u layer%s of %u head%s, query and key %u wide, value %u wide%s\n", (unsigned)hstu->layers,
            inspect_plural(hstu->layers), (unsigned)hstu->heads, inspect_plural(hstu->heads), (unsigned)hstu->qk_dim,
            (unsigned)hstu->v_dim,
            !of_clusters  ? ""
            : hstu->share ? "; one set of weights for all codebooks"
                          : "; weights per codebook");
    inspect_print_label(out, "");
    fprintf(out, "      pre_norm %s, affine %s, activate %s, alpha %s, bias %s, normalize %s",
            hstu->pre_norm ? "yes" : "no", hstu->affine ? "yes" : "no", inspect_word(WORDS_ACTIVATE, hstu->activate),
            inspect_word(WORDS_ALPHA, hstu->alpha), inspect_word(WORDS_BIAS, hstu->bias),
            inspect_word(WORDS_NORMALIZE, hstu->normalize));
    if (hstu->normalize == VQR_NORMALIZE_CONSTANT)
        fprintf(out, " %u", (unsigned)hstu->normalize_constant);
    fputc('\n', out);
    inspect_print_label(out, "");
    fprintf(out, "      norm %s, eps %g, output %s, residual %s\n", inspect_word(WORDS_NORM, hstu->norm),
            (double)hstu->eps, inspect_word(WORDS_OUTPUT, hstu->output), hstu->residual ? "yes" : "no");
}

/* ", one set of weights for all codebooks", where there are several codebooks that could have their own. */
static const char *share_words(const struct vqr_header_sequence *sequence)
{
    if (sequence->kind != VQR_SEQUENCE_DMQN)
        return "";
    return sequence->attention.share ? "; one set of weights for all codebooks" : "; weights per codebook";
}

static void print_attention(FILE *out, const struct vqr_header *header, const struct vqr_header_sequence *sequence)
{
    const struct vqr_header_attention *attention = &sequence->attention;
    inspect_print_label(out, "");
    if (attention->kind == VQR_ATTENTION_DIN) {
        fputs("attention: din, ", out);
        for (size_t i = 0; i < attention->hidden_count; i++)
            fprintf(out, "%s%u", i == 0 ? "hidden " : "-",
                    (unsigned)vqr_header_attention_hidden(header, sequence->index, i));
        if (attention->hidden_count > 0)
            fprintf(out, " %s", inspect_word(WORDS_ACTIVATION, attention->activation));
        else
            fputs("no hidden layers", out);
        fprintf(out, ", softmax %s%s\n", attention->softmax ? "yes" : "no", share_words(sequence));
    } else if (attention->kind == VQR_ATTENTION_DOT) {
        fprintf(out, "attention: dot, %u head%s %u wide", (unsigned)attention->heads, inspect_plural(attention->heads),
                (unsigned)attention->dim);
        if (attention->out > 0)
            fprintf(out, ", projected to %u", (unsigned)attention->out);
        fprintf(out, "%s%s%s\n", attention->count_bias ? ", count bias" : "",
                attention->state == VQR_KEPT_INT8 ? ", keys and values kept in int8" : "", share_words(sequence));
    } else {
        fputs("attention of an unknown kind\n", out);
    }
}

/* How an event's codewords are found, where that is not in fp32. */
static const char *scores_words(const struct vqr_header_sequence *sequence)
{
    switch (sequence->scores) {
    case VQR_SCORES_INT8:
        return ", scored in int8";
    case VQR_SCORES_INT8_EXACT:
        return ", screened in int8";
    default:
        return "";
    }
}

static void print_dmqn(FILE *out, const struct inspection *inspection, const struct vqr_header_sequence *sequence)
{
    fprintf(out, " DMQN: %u codebook%s of %u codewords, empty clusters %s%s\n", (unsigned)sequence->codebooks,
            inspect_plural(sequence->codebooks), (unsigned)sequence->codewords,
            sequence->empty == VQR_EMPTY_MASKED ? "left out" : "kept as zeros", scores_words(sequence));
    print_hstu(out, &sequence->hstu, true);
    print_attention(out, &inspection->header, sequence);
}

static void print_hstu_last(FILE *out, const struct inspection *inspection, const struct vqr_header_sequence *sequence)
{
    fprintf(out, " HSTU: the last %u event%s in order, each seeing those before it\n", (unsigned)sequence->last,
            inspect_plural(sequence->last));
    inspect_print_label(out, "");
    fprintf(out, "events %s, positions %s, ", sequence->scale == VQR_SCALE_SQRT ? "times sqrt(width)" : "as they are",
            sequence->positions ? "learned" : "none");
    if (sequence->time_buckets > 0)
        fprintf(out, "times in %u bucket%s\n", (unsigned)sequence->time_buckets,
                inspect_plural(sequence->time_buckets));
    else
        fputs("times not read\n", out);
    print_hstu(out, &sequence->hstu, false);
    if (sequence->attention.kind != VQR_ATTENTION_NONE) {
        print_attention(out, &inspection->header, sequence);
        return;
    }
    inspect_print_label(out, "");
    fputs("no attention: every candidate takes the newest event's output\n", out);
}

static void print_sdim(FILE *out, const struct vqr_header_sequence *sequence)
{
    fprintf(out, " SDIM: %u hash%s of %u bit%s, %u buckets each\n", (unsigned)sequence->hashes,
            sequence->hashes == 1 ? "" : "es", (unsigned)sequence->bits, inspect_plural(sequence->bits),
            1u << sequence->bits);
}

static void print_vql(FILE *out, const struct inspection *inspection, const struct vqr_header_sequence *sequence)
{
    const struct vqr_header_vql *vql = &sequence->vql;
    fprintf(out, " VQL: %u head%s, key %u wide, value %u wide", (unsigned)vql->heads, inspect_plural(vql->heads),
            (unsigned)vql->dim, (unsigned)vql->v_dim);
    if (vql->out > 0)
        fprintf(out, ", projected to %u", (unsigned)vql->out);
    if (vql->decay_terms > 0)
        fprintf(out, "; events fade by %u decay term%s a head", (unsigned)vql->decay_terms,
                inspect_plural(vql->decay_terms));
    else
        fputs("; events do not fade", out);
    fprintf(out, "%s\n", scores_words(sequence));
    for (size_t g = 0; g < vql->groups; g++) {
        struct vqr_header_vql_group group;
        vqr_header_vql_group(&inspection->header, sequence->index, g, &group);
        inspect_print_label(out, "");
        fprintf(out, "group %zu: %u codeword%s for head%s", g, (unsigned)group.codewords,
                inspect_plural(group.codewords), inspect_plural(group.heads));
        for (size_t i = 0; i < group.heads; i++)
            fprintf(out, "%s%u", i == 0 ? " " : ", ",
                    (unsigned)vqr_header_vql_head(&inspection->header, sequence->index, g, i));
        fputc('\n', out);
    }
}

/* What a candidate looks for, and among which events. */
static void print_search(FILE *out, const struct inspection *inspection, const struct vqr_header_sequence *sequence)
{
    const int twin = sequence->kind == VQR_SEQUENCE_TWIN;
    struct vqr_header_feature event, candidate;
    fprintf(out, " %s: ", twin ? "TWIN" : "SIM");
    if (twin) {
        fprintf(out, "each head's %u largest score%s", (unsigned)sequence->top, inspect_plural(sequence->top));
    } else {
        vqr_header_feature(&inspection->header, VQR_EVENT, sequence->match_event, &event);
        vqr_header_feature(&inspection->header, VQR_CANDIDATE, sequence->match_candidate, &candidate);
        fprintf(out, "the latest %u event%s whose ", (unsigned)sequence->top, inspect_plural(sequence->top));
        text_print_clean(out, event.name);
        fputs(" is the candidate's ", out);
        text_print_clean(out, candidate.name);
    }
    fprintf(out, ", of the last %u event%s\n", (unsigned)sequence->last, inspect_plural(sequence->last));
    print_attention(out, &inspection->header, sequence);
}

/* Of which parts what is cached of a user consists. */
static void print_cached(FILE *out, const struct inspection *inspection, const struct vqr_header_sequence *sequence)
{
    const int dot = sequence->attention.kind == VQR_ATTENTION_DOT;
    char number[TEXT_NUMBER_SIZE];
    uint64_t clusters = 0;
    if (sequence->kind == VQR_SEQUENCE_HSTU) {
        fprintf(out, "the last %u event%s%s%s", (unsigned)sequence->last, inspect_plural(sequence->last),
                sequence->time_buckets > 0 ? " with times" : "",
                dot                                              ? ", keys and values"
                : sequence->attention.kind == VQR_ATTENTION_NONE ? ", the newest one's output"
                                                                 : ", interests");
        return;
    }
    if (sequence->last > 0) { /* of a kind that looks at events themselves */
        fprintf(out, "the last %u event%s%s%s", (unsigned)sequence->last, inspect_plural(sequence->last),
                dot ? ", keys and values" : "", sequence->kind == VQR_SEQUENCE_SIM_HARD ? ", sorted" : "");
        return;
    }
    if (sequence->kind == VQR_SEQUENCE_SDIM) {
        clusters = (uint64_t)sequence->hashes << sequence->bits;
        fprintf(out, "sums, counts and directions of %s buckets", text_grouped(number, clusters));
        return;
    }
    if (sequence->kind == VQR_SEQUENCE_DMQN)
        clusters = (uint64_t)sequence->codebooks * sequence->codewords;
    for (size_t g = 0; sequence->kind == VQR_SEQUENCE_VQL && g < sequence->vql.groups; g++) {
        struct vqr_header_vql_group group;
        vqr_header_vql_group(&inspection->header, sequence->index, g, &group);
        clusters += group.codewords;
    }
    fprintf(out, "sums and counts of %s cluster%s", text_grouped(number, clusters), inspect_plural(clusters));
    if (sequence->kind == VQR_SEQUENCE_DMQN)
        fputs(dot ? ", keys and values" : ", interests", out);
    else if (sequence->vql.decay_terms > 0) /* values depend on the request's time */
        fprintf(out, " under %u decay term%s, keys", (unsigned)sequence->vql.decay_terms,
                inspect_plural(sequence->vql.decay_terms));
    else
        fputs(", keys and values", out);
}

static void print_cost(FILE *out, const struct inspection *inspection, const struct vqr_header_sequence *sequence)
{
    struct vqr_sequence_info info;
    char bytes[TEXT_NUMBER_SIZE], work[TEXT_NUMBER_SIZE];
    vqr_sequence_info(inspection->model, sequence->index, &info);
    inspect_print_label(out, "");
    fprintf(out, "caches %s bytes a user (", text_grouped(bytes, info.state_bytes));
    print_cached(out, inspection, sequence);
    fprintf(out, "); a candidate takes up to %s multiply-adds\n", text_grouped(work, info.candidate_work));
}

void inspect_print_sequences(FILE *out, const struct inspection *inspection)
{
    for (size_t i = 0; i < inspection->info.sequences; i++) {
        struct vqr_header_sequence sequence;
        vqr_header_sequence(&inspection->header, i, &sequence);
        inspect_print_label(out, i == 0 ? "sequences" : "");
        text_print_padded(out, sequence.name, 16);
        if (sequence.kind == VQR_SEQUENCE_DMQN) {
            print_dmqn(out, inspection, &sequence);
        } else if (sequence.kind == VQR_SEQUENCE_VQL) {
            print_vql(out, inspection, &sequence);
        } else if (sequence.kind == VQR_SEQUENCE_SDIM) {
            print_sdim(out, &sequence);
        } else if (sequence.kind == VQR_SEQUENCE_HSTU) {
            print_hstu_last(out, inspection, &sequence);
        } else if (sequence.kind == VQR_SEQUENCE_DIN) {
            fprintf(out, " DIN: the last %u event%s\n", (unsigned)sequence.last, inspect_plural(sequence.last));
            print_attention(out, &inspection->header, &sequence);
        } else if (sequence.kind == VQR_SEQUENCE_SIM_HARD || sequence.kind == VQR_SEQUENCE_TWIN) {
            print_search(out, inspection, &sequence);
        } else {
            fputs(" of an unknown kind\n", out);
            continue;
        }
        print_cost(out, inspection, &sequence);
    }
}
