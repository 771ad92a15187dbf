#include "service/transfer/cancellable_bytes.h"

#include <cstring>

#include "chunkkv/kernels/status.h"
#include "service/format/digest.h"

namespace chunkkv {
namespace {

// About 2 ms of hashing or copying.
constexpr size_t kSliceBytes = 16 << 20;

template <typename Body>
void ForEachSlice(absl::Span<const std::byte> bytes, const Cancelled& cancelled, Body body) {
  for (size_t at = 0; at < bytes.size(); at += kSliceBytes) {
    if (cancelled && cancelled()) return;
    body(at, bytes.subspan(at, kSliceBytes));
  }
}

}  // namespace

absl::Status CheckWanted(const Cancelled& cancelled) {
  if (!cancelled || !cancelled()) return absl::OkStatus();
  return ErrorStatus(absl::StatusCode::kCancelled, "CANCELLED", "nobody wants it any more");
}

Bytes16 DigestBytes(absl::Span<const std::byte> bytes, const Cancelled& cancelled) {
  TensorDigester digester;
  ForEachSlice(bytes, cancelled, [&](size_t, absl::Span<const std::byte> slice) { digester.Update(slice); });
  return digester.Finish();
}

void CopyBytes(absl::Span<const std::byte> source, std::byte* destination, const Cancelled& cancelled) {
  ForEachSlice(source, cancelled, [&](size_t at, absl::Span<const std::byte> slice) {
    std::memcpy(destination + at, slice.data(), slice.size());
  });
}

}  // namespace chunkkv
