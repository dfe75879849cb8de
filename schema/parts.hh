// What reader.cc and views.cc share: FlatBuffers' generated reader and short forms of its vectors. Included by them
// only.
#ifndef VQR_SCHEMA_PARTS_HH
#define VQR_SCHEMA_PARTS_HH

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" // C lets a function be named like a struct; gcc warns of it in C++
#include "schema/reader.h"
#pragma GCC diagnostic pop

#include <cstring>

#include "model_generated.h"

namespace vqrank_parts
{

namespace fb = vqrank_schema;
using flatbuffers::Offset;
using flatbuffers::String;
using flatbuffers::Vector;

// Of the whole header, its size prefix included.
inline uint64_t header_bytes(const uint8_t *data)
{
    uint32_t prefix;
    memcpy(&prefix, data, sizeof(prefix));
    return sizeof(prefix) + (uint64_t)prefix;
}

template <typename Element> size_t count(const Vector<Element> *vector)
{
    return vector == nullptr ? 0 : vector->size();
}

template <typename Element> auto at(const Vector<Element> *vector, size_t i)
{
    return vector->Get((flatbuffers::uoffset_t)i);
}

// The product, or 0 when it does not fit: dimensions are not 0 here.
inline uint64_t multiply(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? 0 : a * b;
}

} // namespace vqrank_parts

#endif
