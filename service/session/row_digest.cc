#include "service/session/row_digest.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "service/format/digest.h"

namespace chunkkv {
namespace {

constexpr int64_t kBounceBytes = 64 << 10;

}  // namespace

Bytes16 DigestRows(const RowsView& rows, const Cancelled& cancelled) {
  const int64_t head_bytes = rows.head_size * static_cast<int64_t>(DTypeSize(rows.dtype));
  const int64_t row_bytes = rows.head_count * head_bytes;
  const bool token_major = rows.head_stride_bytes == head_bytes && rows.token_stride_bytes == row_bytes;
  if (token_major || rows.token_count == 0) {
    return DigestBytes({rows.data, static_cast<size_t>(rows.token_count * row_bytes)}, cancelled);
  }
  TensorDigester digester;
  const int64_t slice_rows = std::max<int64_t>(1, kBounceBytes / row_bytes);
  std::vector<std::byte> bounce(slice_rows * row_bytes);
  for (int64_t first = 0; first < rows.token_count && !cancelled(); first += slice_rows) {
    const int64_t count = std::min(slice_rows, rows.token_count - first);
    for (int32_t head = 0; head < rows.head_count; ++head) {
      const std::byte* const source = rows.data + head * rows.head_stride_bytes;
      for (int64_t row = 0; row < count; ++row) {
        std::memcpy(bounce.data() + row * row_bytes + head * head_bytes,
                    source + (first + row) * rows.token_stride_bytes, head_bytes);
      }
    }
    digester.Update(absl::MakeConstSpan(bounce.data(), count * row_bytes));
  }
  return digester.Finish();
}

}  // namespace chunkkv
