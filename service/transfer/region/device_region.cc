#include "service/transfer/region/device_region.h"

#include <algorithm>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/transfer/region/row_copies.h"

namespace chunkkv {
namespace {

absl::StatusOr<int64_t> PieceRows(const PeerRows& rows) {
  if (const int64_t count = DeviceLane::PieceRows(rows); count > 0) return count;
  return Unimplemented("ROW_TOO_LARGE", "region: a row is larger than the memory that rows pass through");
}

}  // namespace

absl::Status DeviceRegion::Copy(const std::byte* from, std::byte* to, size_t size, const Cancelled& cancelled) const {
  for (size_t at = 0; at < size; at += DeviceLane::kBytes) {
    CHUNKKV_RETURN_IF_ERROR(CheckWanted(cancelled));
    const size_t piece = std::min<size_t>(DeviceLane::kBytes, size - at);
    CHUNKKV_RETURN_IF_ERROR(lane_.Copy(to + at, from + at, static_cast<int64_t>(piece)));
  }
  return absl::OkStatus();
}

absl::Status DeviceRegion::Read(int64_t offset, absl::Span<std::byte> to, const Cancelled& cancelled) const {
  return Copy(memory_.get() + offset, to.data(), to.size(), cancelled);
}

absl::Status DeviceRegion::Write(absl::Span<const std::byte> from, int64_t offset, const Cancelled& cancelled) const {
  return Copy(from.data(), memory_.get() + offset, from.size(), cancelled);
}

absl::Status DeviceRegion::ReadRows(const PeerRows& from, absl::Span<const RowRun> runs, const RowTarget& to,
                                    const Cancelled& cancelled) const {
  CHUNKKV_ASSIGN_OR_RETURN(const int64_t piece_rows, PieceRows(from));
  RunCursor cursor(runs);
  int64_t row = 0;
  std::vector<int64_t> rows;
  while (!cursor.AtEnd()) {
    CHUNKKV_RETURN_IF_ERROR(CheckWanted(cancelled));
    rows.clear();
    while (static_cast<int64_t>(rows.size()) < piece_rows && !cursor.AtEnd()) {
      const RowRun run = cursor.Take(piece_rows - static_cast<int64_t>(rows.size()));
      for (int64_t i = 0; i < run.count; ++i) rows.push_back(run.first + i);
    }
    if (rows.empty()) continue;
    const auto count = static_cast<int64_t>(rows.size());
    const PeerRows dense = DensePeerRows(0, count, from.head_count, from.head_bytes, false);
    CHUNKKV_RETURN_IF_ERROR(lane_.Gather(memory_.get(), from, rows, [&](const std::byte* gathered) {
      CopyFromPeer(gathered, dense, {0, count}, to, row);
    }));
    row += count;
  }
  return absl::OkStatus();
}

absl::Status DeviceRegion::WriteRows(absl::Span<const std::byte> from, const PeerRows& to, int64_t first_row,
                                     const Cancelled& cancelled) const {
  CHUNKKV_ASSIGN_OR_RETURN(const int64_t piece_rows, PieceRows(to));
  const auto piece_bytes = static_cast<size_t>(piece_rows * to.RowBytes());
  for (size_t at = 0; at < from.size(); at += piece_bytes) {
    CHUNKKV_RETURN_IF_ERROR(CheckWanted(cancelled));
    CHUNKKV_RETURN_IF_ERROR(lane_.Scatter(from.subspan(at, piece_bytes), to,
                                          first_row + static_cast<int64_t>(at) / to.RowBytes(), memory_.get()));
  }
  return absl::OkStatus();
}

}  // namespace chunkkv
