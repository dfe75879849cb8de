// How reader.cc says why it refuses a file: one line, written to the caller's buffer. Included by reader.cc only.
#ifndef VQR_SCHEMA_REFUSE_HH
#define VQR_SCHEMA_REFUSE_HH

#include <cinttypes>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>

namespace vqrank_refuse
{

constexpr size_t kQuoteMax = 48; // bytes of a bad string that a message shows
constexpr size_t kRankShown = 4;

// Where the one line that explains a refusal goes.
struct Message {
    char *text;
    size_t size;
};

// Always false, for `return refuse(...)`.
__attribute__((format(printf, 2, 3))) inline bool refuse(const Message &message, const char *format, ...)
{
    if (message.text != nullptr && message.size > 0) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(message.text, message.size, format, arguments);
        va_end(arguments);
    }
    return false;
}

// Bytes as they may stand in a message: printable, on one line, cut short when long.
struct Quoted {
    char text[4 * kQuoteMax + 8];

    Quoted(const void *data, size_t size)
    {
        const auto *bytes = static_cast<const uint8_t *>(data);
        size_t shown = size < kQuoteMax ? size : kQuoteMax;
        size_t length = 0;
        for (size_t i = 0; i < shown; i++) {
            bool plain = bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\';
            length += (size_t)snprintf(text + length, sizeof(text) - length, plain ? "%c" : "\\x%02x", bytes[i]);
        }
        (void)snprintf(text + length, sizeof(text) - length, shown < size ? "..." : "");
    }
};

// "[2, 3, 4]"; `shape` is aligned.
struct ShapeText {
    char text[kRankShown * 22 + 3];

    ShapeText(const uint64_t *shape, size_t rank)
    {
        size_t length = (size_t)snprintf(text, sizeof(text), "[");
        for (size_t d = 0; d < rank && d < kRankShown; d++)
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%" PRIu64, d > 0 ? ", " : "", shape[d]);
        (void)snprintf(text + length, sizeof(text) - length, "]");
    }
};

} // namespace vqrank_refuse

#endif
