#ifndef CHUNKKV_KERNELS_DIGEST_BLOCK_H_
#define CHUNKKV_KERNELS_DIGEST_BLOCK_H_

#include <cstddef>

namespace chunkkv {

// A tensor's bytes are digested in consecutive blocks of this size, the last one possibly shorter.
inline constexpr size_t kDigestBlockBytes = 16 * 1024;

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_DIGEST_BLOCK_H_
