// What a header takes of memory, so that the budget can count it.
#ifndef CHUNKKV_SERVICE_STORE_HEADER_BYTES_H_
#define CHUNKKV_SERVICE_STORE_HEADER_BYTES_H_

#include <cstddef>
#include <cstdint>

#include "service/format/entry_header.h"

namespace chunkkv {

// About right, and never much too low.
int64_t HeaderBytes(const EntryHeader& header);

// What the budget counts of an entry beside its body: its header, its card (see StoredEntry), and its place in the
// index, where its prompt is `block_count` blocks.
int64_t OverheadBytes(int64_t header_bytes, int64_t card_bytes, size_t block_count);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_HEADER_BYTES_H_
