#ifndef CHUNKKV_KERNELS_CUDA_UPLOAD_KERNEL_H_
#define CHUNKKV_KERNELS_CUDA_UPLOAD_KERNEL_H_

#include <cstdint>

#include "kernels/simt/simt.h"

namespace chunkkv::cuda {

inline constexpr int kUploadWords = 7680;  // 30 KiB: the kernel's parameters end at 32,764 bytes

struct UploadParams {
  uint32_t* destination;
  int32_t word_count;
  uint32_t words[kUploadWords];
};

// Brings lists of the host (given chunks, frequencies, addresses of scores) to the device as parameters of a launch: no
// pinned memory, nothing to keep alive, no wait for the stream, as a copy from pageable memory would need.
struct UploadKernel {
  using Params = UploadParams;
  static constexpr int kThreads = 256;
  static constexpr int kMinBlocksPerSm = 1;

  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    for (int word = simt::BlockIndex() * kThreads + simt::ThreadIndex(); word < params.word_count;
         word += simt::BlockCount() * kThreads) {
      simt::Store(params.destination + word, params.words[word]);
    }
  }
};

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_UPLOAD_KERNEL_H_
