/* A plugin of QEMU's user mode that counts executed instructions by function, and prints them at exit:
 *
 *     qemu-aarch64 -plugin ./plugin.so -d plugin -D counts.txt PROGRAM...
 *
 * Debian packages neither QEMU's header nor its own counting plugin, so the few functions of the interface that are
 * used are declared here (QEMU's documentation, "TCG Plugins"; interface version 1, QEMU 7.2). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*translated)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*ended)(qemu_plugin_id_t id, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, translated callback);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, ended callback, void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, enum qemu_plugin_op op, void *counter,
                                                uint64_t add);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *insn);
void qemu_plugin_outs(const char *text);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

/* Functions by name; those past the last place, and instructions without a symbol, count as number 0. */
enum { FUNCTIONS_MAX = 4096, NAME_MAX_BYTES = 96 };
static struct {
    char name[NAME_MAX_BYTES];
    uint64_t executed;
} functions[FUNCTIONS_MAX] = {{"?", 0}};
static size_t known = 1;

static uint64_t *counter_of(const char *name)
{
    if (name == NULL)
        return &functions[0].executed;
    for (size_t i = 1; i < known; i++)
        if (strncmp(functions[i].name, name, NAME_MAX_BYTES - 1) == 0)
            return &functions[i].executed;
    if (known == FUNCTIONS_MAX)
        return &functions[0].executed;
    strncpy(functions[known].name, name, NAME_MAX_BYTES - 1);
    return &functions[known++].executed;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                   counter_of(qemu_plugin_insn_symbol(insn)), 1);
    }
}

static void on_exit_print(qemu_plugin_id_t id, void *data)
{
    (void)id, (void)data;
    for (size_t i = 0; i < known; i++) {
        char number[32];
        snprintf(number, sizeof number, " %" PRIu64 "\n", functions[i].executed);
        qemu_plugin_outs(functions[i].name);
        qemu_plugin_outs(number);
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, on_exit_print, NULL);
    return 0;
}
