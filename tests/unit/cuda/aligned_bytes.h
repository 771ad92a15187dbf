#ifndef CHUNKKV_TESTS_UNIT_CUDA_ALIGNED_BYTES_H_
#define CHUNKKV_TESTS_UNIT_CUDA_ALIGNED_BYTES_H_

#include <cstddef>
#include <new>

#include "kernels/simt/emulation/traffic.h"

namespace chunkkv::testing {

// Memory as a device allocates it: a tensor's first byte begins a sector.
class AlignedBytes {
 public:
  explicit AlignedBytes(size_t bytes) : data_(::operator new(bytes, kAlignment)), bytes_(bytes) {}
  ~AlignedBytes() { ::operator delete(data_, kAlignment); }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;

  template <typename T = std::byte>
  T* As() const {
    return static_cast<T*>(data_);
  }
  simt::emulation::AddressRange Range() const { return {data_, bytes_}; }

 private:
  static constexpr std::align_val_t kAlignment{256};

  void* data_;
  size_t bytes_;
};

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_CUDA_ALIGNED_BYTES_H_
