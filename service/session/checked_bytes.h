// Sums and products of client-given sizes that cannot wrap: past INT64_MAX they stay "too large".
#ifndef CHUNKKV_SERVICE_SESSION_CHECKED_BYTES_H_
#define CHUNKKV_SERVICE_SESSION_CHECKED_BYTES_H_

#include <cstdint>
#include <initializer_list>
#include <limits>

namespace chunkkv {

inline constexpr int64_t kTooManyBytes = std::numeric_limits<int64_t>::max();

// Factors and terms must not be negative.
inline int64_t CheckedProduct(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  bool overflows = false;
  for (const int64_t factor : factors) {
    if (factor == 0) return 0;
    overflows |= __builtin_mul_overflow(product, factor, &product);
  }
  return overflows ? kTooManyBytes : product;
}

inline int64_t CheckedSum(std::initializer_list<int64_t> terms) {
  int64_t sum = 0;
  for (const int64_t term : terms) {
    if (__builtin_add_overflow(sum, term, &sum)) return kTooManyBytes;
  }
  return sum;
}

// Up to the next multiple of 64, which every tensor's memory begins at.
inline int64_t AlignedBytes(int64_t bytes) {
  return bytes > kTooManyBytes - 63 ? kTooManyBytes : (bytes + 63) / 64 * 64;
}

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_CHECKED_BYTES_H_
