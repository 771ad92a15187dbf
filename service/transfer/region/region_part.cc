#include "service/transfer/region/region_part.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv {

absl::StatusOr<RegionPart> RegionPart::OfRows(RegionAccess access, const RegionSlice& slice, const RowShape& shape) {
  const int64_t size_bytes = shape.row_count * shape.head_count * shape.head_bytes;
  PeerRows rows;
  if (slice.pages) {
    const RegionSlice::Pages& pages = *slice.pages;
    if (pages.row_bytes != shape.head_bytes) {
      return InvalidArgument("PAGE_ROW_BYTES", absl::StrCat("pages.row_bytes is ", pages.row_bytes,
                                                            ", one head of the ", "tensor has ", shape.head_bytes));
    }
    if (pages.block_size < 1) {
      return InvalidArgument("BAD_BLOCK_SIZE", absl::StrCat("pages.block_size is ", pages.block_size));
    }
    rows.offset_bytes = pages.offset_bytes;
    rows.token_stride_bytes = pages.slot_stride_bytes;
    rows.head_stride_bytes = pages.head_stride_bytes;
    rows.head_count = shape.head_count;
    rows.head_bytes = shape.head_bytes;
    rows.row_count = shape.row_count;
    rows.block_tokens = pages.block_size;
    rows.block_stride_bytes = pages.block_stride_bytes;
    rows.first_slot = pages.first_slot;
    rows.block_ids = pages.block_ids;
  } else {
    if (slice.length_bytes != size_bytes) {
      return InvalidArgument("PART_SIZE", absl::StrCat("region.length_bytes is ", slice.length_bytes, " for rows of ",
                                                       size_bytes, " bytes"));
    }
    rows = DensePeerRows(slice.offset_bytes, shape.row_count, shape.head_count, shape.head_bytes, shape.head_major);
  }
  CHUNKKV_RETURN_IF_ERROR(CheckPeerRows(rows, access.region->memory->size_bytes()));
  if (rows.IsPaged()) {
    const int64_t slots = rows.first_slot + rows.row_count;
    rows.block_ids.resize((slots + rows.block_tokens - 1) / rows.block_tokens);
  }
  return RegionPart(std::move(access), std::move(rows), size_bytes);
}

absl::StatusOr<RegionPart> RegionPart::OfBytes(RegionAccess access, const RegionSlice& slice, int64_t size_bytes) {
  if (slice.pages) return InvalidArgument("PAGES_OF_BYTES", "region.pages: what is not rows lies in one piece");
  if (slice.length_bytes != size_bytes) {
    return InvalidArgument("PART_SIZE", absl::StrCat("region.length_bytes is ", slice.length_bytes, " for a range of ",
                                                     size_bytes, " bytes"));
  }
  PeerRows rows = DensePeerRows(slice.offset_bytes, 1, 1, size_bytes, false);
  CHUNKKV_RETURN_IF_ERROR(CheckPeerRows(rows, access.region->memory->size_bytes()));
  return RegionPart(std::move(access), std::move(rows), size_bytes);
}

template <typename Work>
absl::Status RegionPart::Touch(const Cancelled& cancelled, Work work) const {
  const Gate::Pass of_region = access_.region->gate->Enter();
  if (!of_region) return FailedPrecondition("REGION_CLOSED", "the region was unregistered, or its client has gone");
  Gate& gate = access_.transfer->gate();
  const Gate::Pass of_transfer = gate.Enter();
  const absl::Status quiesced =
      ErrorStatus(absl::StatusCode::kCancelled, "TRANSFER_QUIESCED", "the client has quiesced the transfer");
  if (!of_transfer) return quiesced;
  const Gate& region_gate = *access_.region->gate;
  const absl::Status status = work(*access_.region->memory, [&] {
    return gate.is_closed() || region_gate.is_closed() || (cancelled && cancelled());
  });
  if (status.code() != absl::StatusCode::kCancelled) return status;
  if (region_gate.is_closed()) return FailedPrecondition("REGION_CLOSED", "the region was unregistered");
  return gate.is_closed() ? quiesced : status;
}

absl::Status RegionPart::ReadBytes(absl::Span<std::byte> to, const Cancelled& cancelled) const {
  return Touch(cancelled, [&](const PeerMemory& memory, const Cancelled& stop) {
    return memory.Read(rows_.offset_bytes, to, stop);
  });
}

absl::Status RegionPart::ReadRows(absl::Span<const RowRun> runs, const RowTarget& to,
                                  const Cancelled& cancelled) const {
  return Touch(cancelled,
               [&](const PeerMemory& memory, const Cancelled& stop) { return memory.ReadRows(rows_, runs, to, stop); });
}

absl::Status RegionPart::WriteBytes(absl::Span<const std::byte> from, const Cancelled& cancelled) const {
  return Touch(cancelled, [&](const PeerMemory& memory, const Cancelled& stop) {
    return memory.Write(from, rows_.offset_bytes, stop);
  });
}

absl::Status RegionPart::WriteRows(absl::Span<const std::byte> from, const Cancelled& cancelled) const {
  return Touch(cancelled,
               [&](const PeerMemory& memory, const Cancelled& stop) { return memory.WriteRows(from, rows_, 0, stop); });
}

}  // namespace chunkkv
