// A part of a put, or of a get's target, that lies in registered memory.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_REGION_PART_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_REGION_PART_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "service/transfer/region/region_table.h"
#include "service/transfer/region/transfer_table.h"

namespace chunkkv {

// A place in a region as the client names it; numbers may be any.
struct RegionSlice {
  int64_t offset_bytes = 0;
  int64_t length_bytes = 0;

  struct Pages {
    int64_t offset_bytes = 0;
    int64_t block_stride_bytes = 0;
    int64_t slot_stride_bytes = 0;
    int64_t head_stride_bytes = 0;
    int64_t row_bytes = 0;
    int32_t block_size = 0;
    int32_t first_slot = 0;
    std::vector<int32_t> block_ids;
  };
  std::optional<Pages> pages;  // instead of offset and length
};

// One transfer's way to one region.
struct RegionAccess {
  RegionPtr region;
  TransferPtr transfer;
};

// Rows of one tensor, as a slice of these sizes must hold them.
struct RowShape {
  int64_t row_count = 0;
  int32_t head_count = 0;
  int64_t head_bytes = 0;
  bool head_major = false;  // of dense slices
};

// A checked slice. Reading and writing are done inside the gates of region and transfer; as PeerMemory. Errors beside
// its: FAILED_PRECONDITION REGION_CLOSED (unregistered, or its client gone), CANCELLED TRANSFER_QUIESCED.
class RegionPart {
 public:
  // Errors: INVALID_ARGUMENT: those of CheckPeerRows, PART_SIZE (the length is not that of the shape), PAGE_ROW_BYTES
  // (pages of rows of another size), PAGES_OF_BYTES (what is not rows has no pages).
  static absl::StatusOr<RegionPart> OfRows(RegionAccess access, const RegionSlice& slice, const RowShape& shape);
  static absl::StatusOr<RegionPart> OfBytes(RegionAccess access, const RegionSlice& slice, int64_t size_bytes);

  int64_t size_bytes() const { return size_bytes_; }
  absl::Status ReadBytes(absl::Span<std::byte> to, const Cancelled& cancelled) const;
  absl::Status ReadRows(absl::Span<const RowRun> runs, const RowTarget& to, const Cancelled& cancelled) const;
  absl::Status WriteBytes(absl::Span<const std::byte> from, const Cancelled& cancelled) const;
  // Dense rows from the first one on.
  absl::Status WriteRows(absl::Span<const std::byte> from, const Cancelled& cancelled) const;

 private:
  RegionPart(RegionAccess access, PeerRows rows, int64_t size_bytes)
      : access_(std::move(access)), rows_(std::move(rows)), size_bytes_(size_bytes) {}
  template <typename Work>
  absl::Status Touch(const Cancelled& cancelled, Work work) const;

  RegionAccess access_;
  PeerRows rows_;
  int64_t size_bytes_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_REGION_PART_H_
