#include "kernels/cpu/copy_bytes.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/copy_bytes.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/stream_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace chunkkv::cpu::HWY_NAMESPACE {

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

}  // namespace chunkkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace chunkkv::cpu {
namespace {

HWY_EXPORT(CopyPastCachesT);

void CopyPastCaches(const std::byte* source, size_t bytes, std::byte* destination) {
  HWY_DYNAMIC_DISPATCH(CopyPastCachesT)(source, bytes, destination);
}

void CopyThroughCaches(const std::byte* source, size_t bytes, std::byte* destination) {
  std::memcpy(destination, source, bytes);
}

}  // namespace

CopyFunction CopyBytes(bool past_caches) { return past_caches ? CopyPastCaches : CopyThroughCaches; }

void FlushCopies() { hwy::FlushStream(); }

}  // namespace chunkkv::cpu
#endif
