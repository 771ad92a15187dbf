#include "service/rpc/wire_region.h"

#include "chunkkv/kernels/status.h"
#include "service/rpc/wire_bytes.h"

namespace chunkkv::rpc {
namespace {

constexpr size_t kMaxTransferIdBytes = 32;

}  // namespace

absl::StatusOr<Bytes16> RegionIdFromWire(const std::string& region_id) {
  return FixedFromWire<16>(region_id, "BAD_REGION_ID", "region_id");
}

absl::Status CheckTransferIdLength(const std::string& transfer_id) {
  if (transfer_id.size() <= kMaxTransferIdBytes) return absl::OkStatus();
  return InvalidArgument("TRANSFER_ID_TOO_LONG",
                         "transfer_id: at most " + std::to_string(kMaxTransferIdBytes) + " bytes");
}

RegionSlice RegionSliceFromWire(const v1::RegionSlice& wire) {
  RegionSlice slice;
  slice.offset_bytes = wire.offset_bytes();
  slice.length_bytes = wire.length_bytes();
  if (!wire.has_pages()) return slice;
  const v1::RegionSlice::PagedSlice& from = wire.pages();
  RegionSlice::Pages& pages = slice.pages.emplace();
  pages.offset_bytes = from.offset_bytes();
  pages.block_stride_bytes = from.block_stride_bytes();
  pages.slot_stride_bytes = from.slot_stride_bytes();
  pages.head_stride_bytes = from.head_stride_bytes();
  pages.row_bytes = from.row_bytes();
  pages.block_size = from.block_size();
  pages.first_slot = from.first_slot();
  pages.block_ids.assign(from.block_ids().begin(), from.block_ids().end());
  return slice;
}

}  // namespace chunkkv::rpc
