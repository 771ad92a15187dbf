// The tensors of a served layer, cut into parts.
#ifndef CHUNKKV_SERVICE_RPC_PART_CUTTER_H_
#define CHUNKKV_SERVICE_RPC_PART_CUTTER_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "chunkkv/v1/payload.pb.h"
#include "service/transfer/served_layer.h"

namespace chunkkv::rpc {

class PartCutter {
 public:
  // `layer` must outlive its parts. `token_count`: the entry's.
  PartCutter(const ServedLayer& layer, int64_t token_count, int64_t max_part_bytes)
      : layer_(layer), token_count_(token_count), max_part_bytes_(max_part_bytes) {}

  struct Cut {
    v1::Part part;  // without payload
    absl::Span<const std::byte> bytes;
  };
  // Tensor after tensor, each from its first byte to its last. Empty: there is nothing more.
  std::optional<Cut> Next();

 private:
  const ServedLayer& layer_;
  const int64_t token_count_;
  const int64_t max_part_bytes_;
  size_t tensor_ = 0;
  int64_t offset_ = 0;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_PART_CUTTER_H_
