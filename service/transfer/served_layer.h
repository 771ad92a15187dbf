// The bytes of one layer as a get serves them: the stored rows themselves, a token range of them, or keys re-rotated to
// contiguous positions.
#ifndef CHUNKKV_SERVICE_TRANSFER_SERVED_LAYER_H_
#define CHUNKKV_SERVICE_TRANSFER_SERVED_LAYER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "service/format/entry_header.h"
#include "service/transfer/cancellable_bytes.h"

namespace chunkkv {

struct ServedTensor {
  const TensorSlot* slot = nullptr;  // of the entry's header
  int64_t first_row = 0;             // per-token tensors: rows [first_row, first_row + row_count)
  int64_t row_count = 0;
  absl::Span<const std::byte> bytes;  // lives as long as the entry and the ServedLayer
  Bytes16 digest{};                   // of `bytes`
};

struct ServedLayer {
  int32_t layer = 0;
  std::vector<ServedTensor> tensors;
  std::vector<std::vector<std::byte>> scratch;  // re-rotated keys
};

struct ServeOptions {
  int64_t first_token = 0;   // of EXACT entries
  int64_t token_count = -1;  // -1: all
  PositionMode position_mode = PositionMode::kOriginal;
  Cancelled cancelled;  // the reader is gone
};

// Whether keys are re-rotated on their way out.
bool NeedsRotation(const EntryHeader& header, const ServeOptions& options);

// Whether `options` can be served of this entry. Errors: FAILED_PRECONDITION (RANGE_OF_COMPACTED, NO_ROPE),
// OUT_OF_RANGE (TOKEN_RANGE), INVALID_ARGUMENT (reversed range).
absl::Status CheckServeOptions(const EntryHeader& header, const ServeOptions& options);

// Stored rows are verified before anything is made from them. Errors: DATA_LOSS (DIGEST_MISMATCH),
// CANCELLED.
absl::StatusOr<ServedLayer> ServeLayer(const EntryHeader& header, absl::Span<const std::byte> body, int32_t layer,
                                       const ServeOptions& options, const Compactor& compactor);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_SERVED_LAYER_H_
