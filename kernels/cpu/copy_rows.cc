#include "kernels/cpu/copy_rows.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/copy_rows.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace chunkkv::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Copies the whole vectors of `bytes` with streaming stores to `to`, which is aligned to them; returns their bytes.
template <class D>
HWY_INLINE size_t StreamVectors(D d, const uint8_t* from, size_t bytes, uint8_t* to) {
  const size_t lanes = hn::Lanes(d);
  size_t at = 0;
  for (; at + 4 * lanes <= bytes; at += 4 * lanes) {
    const auto v0 = hn::LoadU(d, from + at);
    const auto v1 = hn::LoadU(d, from + at + lanes);
    const auto v2 = hn::LoadU(d, from + at + 2 * lanes);
    const auto v3 = hn::LoadU(d, from + at + 3 * lanes);
    hn::Stream(v0, d, to + at);
    hn::Stream(v1, d, to + at + lanes);
    hn::Stream(v2, d, to + at + 2 * lanes);
    hn::Stream(v3, d, to + at + 3 * lanes);
  }
  for (; at + lanes <= bytes; at += lanes) hn::Stream(hn::LoadU(d, from + at), d, to + at);
  return at;
}

// memcpy with streaming stores between the destination's first and last aligned vector.
void CopyPastCachesT(const std::byte* source, size_t bytes, std::byte* destination) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  if (lanes < 16) {  // no vectors: nothing to stream
    std::memcpy(destination, source, bytes);
    return;
  }
  const size_t misaligned = reinterpret_cast<uintptr_t>(destination) % lanes;
  size_t at = 0;
  if (misaligned != 0) {
    at = std::min(bytes, lanes - misaligned);
    std::memcpy(destination, source, at);
  }
  const auto* from = reinterpret_cast<const uint8_t*>(source);
  auto* to = reinterpret_cast<uint8_t*>(destination);
  at += StreamVectors(d, from + at, bytes - at, to + at);
  std::memcpy(destination + at, source + at, bytes - at);
}

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

HWY_EXPORT(CopyPastCachesT);
HWY_EXPORT(StreamHeadsT);

using CopyFunction = void (*)(const std::byte* source, size_t bytes, std::byte* destination);

void CopyPastCaches(const std::byte* source, size_t bytes, std::byte* destination) {
  HWY_DYNAMIC_DISPATCH(CopyPastCachesT)(source, bytes, destination);
}

void CopyThroughCaches(const std::byte* source, size_t bytes, std::byte* destination) {
  std::memcpy(destination, source, bytes);
}

bool AreRows(absl::Span<const int32_t> positions, int64_t token_count) {
  return std::all_of(positions.begin(), positions.end(),
                     [token_count](int32_t position) { return position >= 0 && position < token_count; });
}

// How many positions from `first` on follow each other.
size_t RunLength(absl::Span<const int32_t> positions, size_t first) {
  size_t next = first + 1;
  while (next < positions.size() && positions[next] == int64_t{positions[next - 1]} + 1) ++next;
  return next - first;
}

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
    if (is_staged) CopyPastCaches(stage, count * row_bytes, destination + token * row_bytes);
    token += count;
  }
}

}  // namespace

bool CopyRows(const RowsView& source, absl::Span<const int32_t> positions, std::byte* destination, bool past_caches) {
  if (!AreRows(positions, source.token_count)) return false;
  const auto head_bytes = static_cast<int64_t>(DTypeSize(source.dtype)) * source.head_size;
  const int64_t row_bytes = head_bytes * source.head_count;
  if (row_bytes == 0) return true;
  const bool heads_are_dense = source.head_count == 1 || source.head_stride_bytes == head_bytes;
  const bool rows_are_dense = heads_are_dense && source.token_stride_bytes == row_bytes;
  const CopyFunction copy = past_caches ? CopyPastCaches : CopyThroughCaches;
  for (size_t n = 0; n < positions.size();) {
    const size_t run = heads_are_dense && !rows_are_dense ? 1 : RunLength(positions, n);
    const std::byte* from = source.data + positions[n] * source.token_stride_bytes;
    if (heads_are_dense) {
      copy(from, row_bytes * run, destination);
    } else {
      CopyHeads(source, from, static_cast<int64_t>(run), past_caches, destination);
    }
    destination += row_bytes * run;
    n += run;
  }
  if (past_caches) hwy::FlushStream();
  return true;
}

}  // namespace chunkkv::cpu
#endif
