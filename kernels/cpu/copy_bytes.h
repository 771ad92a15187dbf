// memcpy, by way of the caches or past them.
#ifndef CHUNKKV_KERNELS_CPU_COPY_BYTES_H_
#define CHUNKKV_KERNELS_CPU_COPY_BYTES_H_

#include <cstddef>

namespace chunkkv::cpu {

using CopyFunction = void (*)(const std::byte* source, size_t bytes, std::byte* destination);

// memcpy; or, `past_caches`, with streaming stores between the destination's first and last aligned vector, which do
// not bring the destination into caches. They are in order with later stores after FlushCopies().
CopyFunction CopyBytes(bool past_caches);

void FlushCopies();

}  // namespace chunkkv::cpu

#endif  // CHUNKKV_KERNELS_CPU_COPY_BYTES_H_
