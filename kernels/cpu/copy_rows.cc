#include "kernels/cpu/copy_rows.h"

#include <algorithm>
#include <cstring>

#include "kernels/common/row_address.h"
#include "kernels/cpu/copy_bytes.h"
#include "kernels/cpu/row_runs.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/copy_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/stream_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace chunkkv::cpu::HWY_NAMESPACE {

// Copies `tokens` tokens from `from` on, whose heads lie apart, with streaming stores: one long stream of stores, fed
// by loads from all heads. Returns false, with nothing copied, where the heads of the destination are not whole
// vectors.
bool StreamHeadsT(const RowsView& source, const std::byte* from, int64_t tokens, std::byte* destination) {
  const hn::CappedTag<uint8_t, 32> d;
  const size_t lanes = hn::Lanes(d);
  const size_t head_bytes = DTypeSize(source.dtype) * source.head_size;
  if (lanes < 16 || head_bytes % lanes != 0 || reinterpret_cast<uintptr_t>(destination) % lanes != 0) return false;
  auto* to = reinterpret_cast<uint8_t*>(destination);
  for (int64_t token = 0; token < tokens; ++token, from += source.token_stride_bytes) {
    const auto* head = reinterpret_cast<const uint8_t*>(from);
    for (int32_t h = 0; h < source.head_count; ++h, head += source.head_stride_bytes) {
      to += StreamVectors(d, head, head_bytes, to);
    }
  }
  return true;
}

}  // namespace chunkkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace chunkkv::cpu {
namespace {

HWY_EXPORT(StreamHeadsT);

// Copies `run` tokens from `from` on, whose heads lie apart. Where heads are not whole vectors, what goes past the
// caches is put together in a piece of first-level cache, so that those stores still come in long streams.
void CopyHeads(const RowsView& source, const std::byte* from, int64_t run, bool past_caches, std::byte* destination) {
  if (past_caches && HWY_DYNAMIC_DISPATCH(StreamHeadsT)(source, from, run, destination)) return;
  alignas(64) std::byte stage[16 << 10];
  const auto head_bytes = static_cast<int64_t>(DTypeSize(source.dtype)) * source.head_size;
  const int64_t row_bytes = head_bytes * source.head_count;
  const int64_t staged_tokens = static_cast<int64_t>(sizeof stage) / row_bytes;
  const bool is_staged = past_caches && staged_tokens > 0;
  for (int64_t token = 0; token < run;) {
    const int64_t count = is_staged ? std::min(staged_tokens, run - token) : 1;
    std::byte* out = is_staged ? stage : destination + token * row_bytes;
    for (int64_t n = 0; n < count; ++n) {
      for (int64_t head = 0; head < source.head_count; ++head, out += head_bytes) {
        std::memcpy(out, from + (token + n) * source.token_stride_bytes + head * source.head_stride_bytes, head_bytes);
      }
    }
    if (is_staged) CopyBytes(true)(stage, count * row_bytes, destination + token * row_bytes);
    token += count;
  }
}

}  // namespace

bool CopyRows(const RowsView& source, absl::Span<const int32_t> positions, std::byte* destination, bool past_caches) {
  if (!HaveRows(source, positions)) return false;
  const RowExtent extent(source);
  if (extent.row_bytes == 0) return true;
  const CopyFunction copy = CopyBytes(past_caches);
  for (size_t n = 0; n < positions.size();) {
    const size_t run = RunLength(source, extent, positions, n);
    const std::byte* from = RowAddress(source, positions[n]);
    if (extent.heads_are_dense) {
      copy(from, extent.row_bytes * run, destination);
    } else {
      CopyHeads(source, from, static_cast<int64_t>(run), past_caches, destination);
    }
    destination += extent.row_bytes * run;
    n += run;
  }
  if (past_caches) FlushCopies();
  return true;
}

}  // namespace chunkkv::cpu
#endif
