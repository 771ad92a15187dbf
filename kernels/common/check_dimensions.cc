#include "kernels/common/check_dimensions.h"

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/limits.h"
#include "kernels/common/bad_task.h"

namespace chunkkv {
namespace {

// A row of all heads, in bytes.
static_assert(int64_t{kMaxHeadCount} * kMaxHeadSize * sizeof(float) <= INT32_MAX);

bool IsOutside(int64_t value, int64_t most) { return value < 0 || value > most; }

template <typename Byte>
absl::Status CheckRowDimensions(const BasicRowsView<Byte>& rows, absl::string_view name) {
  if (DTypeSize(rows.dtype) == 0) return BadTask(name, "rows have an unknown dtype");
  if (IsOutside(rows.token_count, kMaxTokenCount)) {
    return BadTask(name, absl::StrCat("rows of ", rows.token_count, " tokens, not 0 to ", kMaxTokenCount));
  }
  if (IsOutside(rows.head_count, kMaxHeadCount)) {
    return BadTask(name, absl::StrCat("rows of ", rows.head_count, " heads, not 0 to ", kMaxHeadCount));
  }
  if (IsOutside(rows.head_size, kMaxHeadSize)) {
    return BadTask(name, absl::StrCat("rows with heads of ", rows.head_size, ", not 0 to ", kMaxHeadSize));
  }
  if (rows.IsPaged() && (rows.block_token_count <= 0 || rows.block_count < 0)) {
    return BadTask(name, "paged rows have blocks without tokens, or a negative count of blocks");
  }
  if (!rows.IsPaged() && rows.block_token_count != 0 && rows.token_count > 0) {
    return BadTask(name, "paged rows have no block_ids");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDimensions(const RowsView& rows, absl::string_view name) { return CheckRowDimensions(rows, name); }
absl::Status CheckDimensions(const MutableRowsView& rows, absl::string_view name) {
  return CheckRowDimensions(rows, name);
}

absl::Status CheckPositions(absl::Span<const int32_t> positions, absl::string_view name) {
  if (positions.size() > static_cast<uint64_t>(kMaxTokenCount)) {
    return BadTask(name, absl::StrCat(positions.size(), " positions, more than ", kMaxTokenCount));
  }
  if (!positions.empty() && positions.data() == nullptr) return BadTask(name, "positions has no memory");
  return absl::OkStatus();
}

}  // namespace chunkkv
