#include "kernels/reference/rows.h"

#include <cmath>
#include <cstring>

#include "kernels/common/half.h"
#include "kernels/common/row_address.h"
#include "kernels/common/run.h"

namespace chunkkv::reference {
namespace {

constexpr size_t kRowsBetweenLooks = 256;  // at cancellation

void RotateHead(const RopeShape& rope, int64_t turn, DType dtype, const std::byte* source, std::byte* destination) {
  const int32_t pairs = rope.rotary_dims / 2;
  for (int32_t i = 0; i < pairs; ++i) {
    const int64_t first = rope.first_dim + (rope.interleaved ? 2 * i : i);
    const int64_t second = rope.interleaved ? first + 1 : first + pairs;
    const double angle = static_cast<double>(turn) * rope.inv_freq[i];
    const double x = LoadElement(source, dtype, first);
    const double y = LoadElement(source, dtype, second);
    StoreElement(static_cast<float>(x * std::cos(angle) - y * std::sin(angle)), destination, dtype, first);
    StoreElement(static_cast<float>(x * std::sin(angle) + y * std::cos(angle)), destination, dtype, second);
  }
}

}  // namespace

absl::Status GatherRows(const GatherTask& task, const ExecutionContext& context) {
  const RowsView& source = task.source;
  const size_t head_bytes = DTypeSize(source.dtype) * source.head_size;
  std::byte* destination = task.destination;
  for (size_t n = 0; n < task.positions.size(); ++n) {
    if (n % kRowsBetweenLooks == 0 && IsCancelled(context)) return CancelledStatus();
    if (!HasRow(source, task.positions[n])) return BadPositionStatus();
    for (int64_t head = 0; head < source.head_count && head_bytes > 0; ++head, destination += head_bytes) {
      const std::byte* row = RowAddress(source, task.positions[n]);
      std::memcpy(destination, row + head * source.head_stride_bytes, head_bytes);
    }
  }
  return absl::OkStatus();
}

absl::Status RotateRows(const RotateTask& task, const ExecutionContext& context) {
  const RowsView& source = task.source;
  const size_t head_bytes = DTypeSize(source.dtype) * source.head_size;
  for (size_t n = 0; n < task.positions.size(); ++n) {
    if (n % kRowsBetweenLooks == 0 && IsCancelled(context)) return CancelledStatus();
    const int64_t turn = static_cast<int64_t>(n) - task.positions[n];
    for (int64_t head = 0; head < source.head_count; ++head) {
      const size_t offset = (n * source.head_count + head) * head_bytes;
      std::memmove(task.destination + offset, source.data + offset, head_bytes);
      RotateHead(*task.rope, turn, source.dtype, source.data + offset, task.destination + offset);
    }
  }
  return absl::OkStatus();
}

absl::Status ScatterRows(const ScatterTask& task, const ExecutionContext& context) {
  const MutableRowsView& destination = task.destination;
  const size_t head_bytes = DTypeSize(destination.dtype) * destination.head_size;
  const std::byte* source = task.source;
  for (size_t n = 0; n < task.positions.size(); ++n) {
    if (n % kRowsBetweenLooks == 0 && IsCancelled(context)) return CancelledStatus();
    if (!HasRow(destination, task.positions[n])) return BadPositionStatus();
    for (int64_t head = 0; head < destination.head_count && head_bytes > 0; ++head, source += head_bytes) {
      std::byte* row = RowAddress(destination, task.positions[n]);
      std::memcpy(row + head * destination.head_stride_bytes, source, head_bytes);
    }
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::reference
