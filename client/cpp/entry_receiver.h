// Puts what GetCache streams bring into place and verifies it, for one entry and any number of streams.
#ifndef CHUNKKV_CLIENT_CPP_ENTRY_RECEIVER_H_
#define CHUNKKV_CLIENT_CPP_ENTRY_RECEIVER_H_

#include <grpcpp/support/slice.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "chunkkv/client/types.h"
#include "chunkkv/v1/get.pb.h"
#include "service/base/mutex.h"

namespace chunkkv::client {

// [begin, end).
struct LayerRange {
  int32_t begin = 0;
  int32_t end = INT32_MAX;
};

// The first header settles the entry and its memory; every stream then brings whole layers of it. Methods may be
// called from several threads, each layer from one of them.
class EntryReceiver {
 public:
  explicit EntryReceiver(const GetRequest& request) : request_(request) {}

  // Tensors are not received, but lie in `memory` where the header says: to be called before Open. `owner` keeps it.
  // What the host may not read is not verified.
  void PlaceIn(absl::Span<std::byte> memory, std::shared_ptr<void> owner, bool is_on_host = true);

  // The first header: opens the entry with layers [begin, end), as far as there are.
  // Errors: DATA_LOSS (ANOTHER_ENTRY, BAD_REPLY, DIGEST_MISMATCH), RESOURCE_EXHAUSTED (ENTRY_TOO_LARGE, OUT_OF_MEMORY),
  // whatever on_header says.
  absl::Status Open(const v1::GetHeader& header, int32_t begin, int32_t end);
  absl::Status CheckSame(const v1::GetHeader& header) const;

  // A message that is a part, of a stream of `layers`. Errors: DATA_LOSS (PART_CHECKSUM, BAD_REPLY).
  absl::Status TakePart(const std::vector<grpc::Slice>& slices, const LayerRange& layers);
  // Of tensors in `memory`: the layer's bytes are there. Errors: DATA_LOSS (BAD_REPLY).
  absl::Status TakeWritten(int32_t layer, const LayerRange& layers);
  // Of tensors in `memory`: all layers are there, and need not be looked at unless `verify`. Errors: as EndLayer.
  absl::Status TakeMapped(bool verify);
  // All of the layer's bytes are there: verifies and hands it on. Errors: DATA_LOSS, whatever on_layer says.
  absl::Status EndLayer(const v1::LayerEnd& end, const LayerRange& layers);

  // The layers that are wanted: those of the entry, or the part of them that was asked for.
  int32_t begin_layer() const { return begin_; }
  int32_t end_layer() const { return end_; }
  const EntryHeader& header() const { return entry_.header; }
  // Errors: DATA_LOSS (INCOMPLETE) where a layer has not ended.
  absl::StatusOr<CachedEntry> Finish();

 private:
  struct Tensor {
    TensorSpec spec;
    int64_t row_count = 0;  // per-token tensors
    int64_t size_bytes = 0;
    int64_t received_bytes = 0;
    std::byte* data = nullptr;
    Bytes16 committed_digest{};
    bool is_derived = false;  // a token range, or keys re-rotated: not the bytes that were committed
  };
  struct Layer {
    std::vector<Tensor> tensors;
    bool has_ended = false;
  };

  absl::Status PlaceTensors(const v1::GetHeader& header);
  absl::Status PlaceTensor(const google::protobuf::RepeatedPtrField<v1::TensorPlace>& places, Tensor& tensor) const;
  absl::Status HandOver(LayerView view);
  // Null where the layer is not wanted, or not of these.
  Layer* FindLayer(int32_t layer, const LayerRange& layers);

  const GetRequest& request_;
  absl::Span<std::byte> memory_;
  bool has_memory_ = false;
  bool is_on_host_ = true;
  CachedEntry entry_;
  int32_t begin_ = 0;
  int32_t end_ = 0;
  std::vector<Layer> layers_;  // of [begin_, end_)
  Mutex hand_over_mutex_;      // callbacks never overlap
};

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_ENTRY_RECEIVER_H_
