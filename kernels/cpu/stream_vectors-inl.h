// Streaming stores of whole vectors. Included once per instruction set.
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#if defined(CHUNKKV_KERNELS_CPU_STREAM_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CHUNKKV_KERNELS_CPU_STREAM_VECTORS_INL_H_
#undef CHUNKKV_KERNELS_CPU_STREAM_VECTORS_INL_H_
#else
#define CHUNKKV_KERNELS_CPU_STREAM_VECTORS_INL_H_
#endif

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

}  // namespace chunkkv::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // toggle
