// What a header takes of memory, so that the budget can count it.
#ifndef CHUNKKV_SERVICE_STORE_HEADER_BYTES_H_
#define CHUNKKV_SERVICE_STORE_HEADER_BYTES_H_

#include <cstdint>

#include "service/format/entry_header.h"

namespace chunkkv {

// About right, and never much too low.
int64_t HeaderBytes(const EntryHeader& header);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_STORE_HEADER_BYTES_H_
