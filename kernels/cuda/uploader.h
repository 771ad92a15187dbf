#ifndef CHUNKKV_KERNELS_CUDA_UPLOADER_H_
#define CHUNKKV_KERNELS_CUDA_UPLOADER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "kernels/cuda/stage.h"

namespace chunkkv::cuda {

// Fills memory of the device with lists of the host, in as few launches as their bytes need.
class Uploader {
 public:
  // `destination` is aligned to 8 bytes.
  Uploader(const Stage& stage, void* destination);

  // Puts `count` elements after what was added before, aligned to their size. Returns their address on the device.
  template <typename T>
  const T* Add(const T* elements, size_t count) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    AlignTo(sizeof(T) / sizeof(uint32_t));
    return reinterpret_cast<const T*>(AddWords(elements, count * sizeof(T) / sizeof(uint32_t)));
  }

  // Starts what has not been started yet. Errors: the first of any launch.
  absl::Status Finish();

  // Words that Add of `count` elements of T takes at most.
  template <typename T>
  static size_t Words(size_t count) {
    return (count + 1) * (sizeof(T) / sizeof(uint32_t));
  }

 private:
  const uint32_t* AddWords(const void* words, size_t count);
  void AlignTo(size_t words);
  void Flush();

  const Stage& stage_;
  uint32_t* destination_;
  size_t added_ = 0;    // words
  size_t flushed_ = 0;  // words
  UploadParams params_;
  absl::Status status_;
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_UPLOADER_H_
