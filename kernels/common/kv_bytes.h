#ifndef CHUNKKV_KERNELS_COMMON_KV_BYTES_H_
#define CHUNKKV_KERNELS_COMMON_KV_BYTES_H_

#include "chunkkv/kernels/plan.h"

namespace chunkkv {

// Bytes of K and V of all layers.
inline double KvBytes(const Plan& plan) {
  double bytes = 0;
  for (const AttentionShape& layer : plan.layers) {
    bytes += static_cast<double>(plan.token_count) * layer.kv_head_count *
             (layer.key_head_size + layer.value_head_size) * static_cast<double>(DTypeSize(layer.dtype));
  }
  return bytes;
}

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_KV_BYTES_H_
