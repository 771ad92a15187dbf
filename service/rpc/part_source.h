// A get whose bytes go inline: the parts of each layer, and each layer's end.
#ifndef CHUNKKV_SERVICE_RPC_PART_SOURCE_H_
#define CHUNKKV_SERVICE_RPC_PART_SOURCE_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "service/rpc/message_source.h"
#include "service/rpc/part_cutter.h"
#include "service/rpc/scratch_pool.h"
#include "service/rpc/wire_entry.h"
#include "service/store/entry.h"
#include "service/store/entry_store.h"
#include "service/transfer/served_layer.h"

namespace chunkkv::rpc {

// Makes messages whose bytes are the store's own memory: each holds the entry (and re-rotated keys) for as long as gRPC
// holds the message.
class PartSource final : public MessageSource {
 public:
  // Reserves the scratch for re-rotated keys. Errors: RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<PartSource>> Create(EntryPtr entry, const ServedRange& range,
                                                            int64_t max_part_bytes, EntryStore& store,
                                                            const Compactor& compactor);

  // kLater: scratch must come back first.
  absl::StatusOr<State> Next(std::function<void()> resume, grpc::ByteBuffer* message) override;
  int64_t sent_bytes() const override { return sent_bytes_; }

 private:
  struct Layer;

  PartSource(EntryPtr entry, const ServedRange& range, int64_t max_part_bytes, const Compactor& compactor)
      : entry_(std::move(entry)), range_(range), max_part_bytes_(max_part_bytes), compactor_(compactor) {}
  absl::StatusOr<bool> OpenLayer(std::function<void()> resume);
  grpc::ByteBuffer MakePart(const PartCutter::Cut& cut);
  grpc::ByteBuffer EndLayer();

  const EntryPtr entry_;
  const ServedRange range_;
  const int64_t max_part_bytes_;
  const Compactor& compactor_;
  std::shared_ptr<ScratchPool> pool_;  // null where nothing is re-rotated
  int32_t next_layer_ = 0;             // within the range
  std::shared_ptr<const Layer> layer_;
  std::optional<PartCutter> cutter_;  // of the layer
  int64_t sent_bytes_ = 0;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_PART_SOURCE_H_
