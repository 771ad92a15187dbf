// simt.h on the host: calls into the emulation that runs the kernel (emulation/grid.h).
#ifndef CHUNKKV_KERNELS_SIMT_EMULATED_H_
#define CHUNKKV_KERNELS_SIMT_EMULATED_H_

#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels/common/half.h"
#include "kernels/simt/emulation/mma_fragments.h"
#include "kernels/simt/emulation/thread.h"

#define CHUNKKV_DEVICE inline
#define CHUNKKV_HOST_DEVICE
#define CHUNKKV_UNROLL

namespace chunkkv::simt {

inline int ThreadIndex() { return emulation::CurrentThread().index; }
inline int BlockSize() { return emulation::CurrentBlock().size; }
inline int BlockIndex() { return emulation::CurrentBlock().index; }
inline int BlockCount() { return emulation::CurrentBlock().count; }
inline int Lane() { return ThreadIndex() % kWarpSize; }
inline int Warp() { return ThreadIndex() / kWarpSize; }

inline void SyncBlock(emulation::Site site = emulation::Site::Here()) { emulation::WaitForBlock(site); }
inline void SyncWarp(emulation::Site site = emulation::Site::Here()) { emulation::Exchange(site, nullptr, 0, nullptr); }

namespace internal {

// What `lane` holds, of a value that all lanes give.
template <typename T>
T FromLane(T value, int lane, emulation::Site site) {
  std::memcpy(&value, emulation::Exchange(site, &value, sizeof value, nullptr) + lane * sizeof value, sizeof value);
  return value;
}

}  // namespace internal

template <typename T>
T Shuffle(T value, int lane, emulation::Site site = emulation::Site::Here()) {
  return internal::FromLane(value, lane % kWarpSize, site);
}
template <typename T>
T ShuffleXor(T value, int mask, emulation::Site site = emulation::Site::Here()) {
  return internal::FromLane(value, Lane() ^ mask, site);
}
template <typename T>
T ShuffleUp(T value, int delta, emulation::Site site = emulation::Site::Here()) {
  return internal::FromLane(value, Lane() < delta ? Lane() : Lane() - delta, site);
}
inline uint32_t Ballot(bool predicate, emulation::Site site = emulation::Site::Here()) {
  const std::byte* all = emulation::Exchange(site, &predicate, sizeof predicate, nullptr);
  uint32_t mask = 0;
  for (int lane = 0; lane < kWarpSize; ++lane) mask |= static_cast<uint32_t>(all[lane]) << lane;
  return mask;
}

inline std::byte* SharedMemory() { return emulation::CurrentBlock().shared_memory; }

inline uint32_t AddShared(uint32_t* address, uint32_t value) {
  const uint32_t before = *address;
  *address = before + value;
  return before;
}

inline void MinGlobal(uint64_t* address, uint64_t value) {
  if (value < *address) *address = value;
}

template <typename T>
T Load(const T* address, emulation::Site site = emulation::Site::Here()) {
  emulation::RecordAccess(site, emulation::Access::kLoad, address, sizeof(T));
  T value;
  std::memcpy(&value, address, sizeof value);
  return value;
}
template <typename T>
T Stream(const T* address, emulation::Site site = emulation::Site::Here()) {
  return Load(address, site);
}
template <typename T>
void Store(T* address, const T& value, emulation::Site site = emulation::Site::Here()) {
  emulation::RecordAccess(site, emulation::Access::kStore, address, sizeof(T));
  std::memcpy(address, &value, sizeof value);
}

inline void CopyAsync(void* to_shared, const void* from, bool valid, emulation::Site site = emulation::Site::Here()) {
  emulation::StartCopy(site, to_shared, from, valid);
}
inline void CommitCopies() { emulation::CommitCopies(); }
template <int kLeft>
void WaitForCopies() {
  emulation::WaitForCopies(kLeft);
}

template <typename Element>
void Mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
         emulation::Site site = emulation::Site::Here()) {
  constexpr auto kMultiply = std::is_same_v<Element, F16> ? emulation::MultiplyF16 : emulation::MultiplyBF16;
  const emulation::MmaOperands mine = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
  const std::byte* product = emulation::Exchange(site, &mine, sizeof mine, kMultiply);
  for (int i = 0; i < 4; ++i) {
    const emulation::MatrixPlace place = emulation::PlaceInC(Lane(), i);
    float sum;
    std::memcpy(&sum, product + (place.row * 8 + place.column) * sizeof sum, sizeof sum);
    c[i] += sum;
  }
}

inline uint64_t MulHigh(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(a) * b) >> 64);
}

inline float Max(float a, float b) { return std::fmax(a, b); }

inline float Exp2(float x) {
  const float result = std::exp2(x);
  return result < 0x1p-126f ? 0.0f : result;
}

inline float Reciprocal(float x) {
  const float result = 1.0f / x;
  return std::fabs(result) < 0x1p-126f ? std::copysign(0.0f, result) : result;
}

inline float Log2(float x) { return std::log2(x); }

inline float ToFloat(F16 x) { return F16ToFloat(x.bits); }
inline float ToFloat(BF16 x) { return Bf16ToFloat(x.bits); }
inline F16 ToF16(float x) { return {FloatToF16(x)}; }
inline BF16 ToBF16(float x) { return {FloatToBf16(x)}; }

template <typename To, typename From>
To BitCast(const From& from) {
  return std::bit_cast<To>(from);
}

}  // namespace chunkkv::simt

#endif  // CHUNKKV_KERNELS_SIMT_EMULATED_H_
