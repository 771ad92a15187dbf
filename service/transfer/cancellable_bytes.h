// Work over many bytes that stops soon after nobody wants it any more.
#ifndef CHUNKKV_SERVICE_TRANSFER_CANCELLABLE_BYTES_H_
#define CHUNKKV_SERVICE_TRANSFER_CANCELLABLE_BYTES_H_

#include <cstddef>
#include <functional>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "service/format/bytes.h"

namespace chunkkv {

// Looked at every few milliseconds, where set. Once true it must stay true.
using Cancelled = std::function<bool()>;

// Errors: CANCELLED, where `cancelled` is set and says so.
absl::Status CheckWanted(const Cancelled& cancelled);

// As DigestTensor; the result of a cancelled digest means nothing.
Bytes16 DigestBytes(absl::Span<const std::byte> bytes, const Cancelled& cancelled);

// `destination` holds at least what `source` does and does not overlap it; in part unwritten where it was cancelled.
void CopyBytes(absl::Span<const std::byte> source, std::byte* destination, const Cancelled& cancelled);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_CANCELLABLE_BYTES_H_
