// A get whose bytes go to the client's regions: layer after layer is written, and said to be.
#ifndef CHUNKKV_SERVICE_RPC_REGION_WRITER_H_
#define CHUNKKV_SERVICE_RPC_REGION_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "service/base/executor.h"
#include "service/memory/budget.h"
#include "service/rpc/get_request.h"
#include "service/rpc/message_source.h"
#include "service/rpc/wire_entry.h"
#include "service/store/entry.h"
#include "service/store/entry_store.h"
#include "service/transfer/region/region_part.h"

namespace chunkkv::rpc {

// A slice for every tensor of the range, one after the other within `whole`, each at a multiple of 64 bytes of the
// region. Errors: FAILED_PRECONDITION TARGET_TOO_SMALL; INVALID_ARGUMENT SLICE_OUT_OF_BOUNDS.
absl::StatusOr<std::vector<TargetSlice>> LayOutTarget(const EntryHeader& header, const ServedRange& range,
                                                      const TargetSlice& whole);
void ToWire(const TargetSlice& slice, v1::TensorPlace* place);

class RegionWriter final : public MessageSource {
 public:
  // Checks every target against the entry before anything is written. `executor` must outlive the writer.
  // Errors: INVALID_ARGUMENT: TARGET_REPEATED, TARGET_UNKNOWN (no such tensor in the range), TARGET_MISSING (of a
  // tensor in the range), and those of RegionPart; FAILED_PRECONDITION: TARGET_TOO_SMALL, REGION_READ_ONLY; NOT_FOUND
  // REGION_NOT_FOUND; RESOURCE_EXHAUSTED.
  static absl::StatusOr<std::unique_ptr<RegionWriter>> Create(EntryPtr entry, const ServedRange& range,
                                                              const std::vector<TargetSlice>& target,
                                                              const TransferPtr& transfer, const RegionTable& regions,
                                                              EntryStore& store, const Compactor& compactor,
                                                              Executor& executor);

  absl::StatusOr<State> Next(std::function<void()> resume, grpc::ByteBuffer* message) override;
  int64_t sent_bytes() const override { return written_bytes_; }

 private:
  RegionWriter(EntryPtr entry, const ServedRange& range, const Compactor& compactor, Executor& executor)
      : entry_(std::move(entry)), range_(range), compactor_(compactor), executor_(executor) {}
  absl::Status WriteLayer(const ServedLayer& layer);

  const EntryPtr entry_;
  const ServedRange range_;
  const Compactor& compactor_;
  Executor& executor_;
  BudgetShare scratch_;                          // of one layer's re-rotated keys
  std::vector<std::vector<RegionPart>> places_;  // per layer of the range, in the order of its tensors
  int32_t next_layer_ = 0;                       // within the range
  grpc::ByteBuffer layer_end_;                   // of the layer before, not yet sent
  bool has_layer_end_ = false;
  int64_t written_bytes_ = 0;
};

}  // namespace chunkkv::rpc

#endif  // CHUNKKV_SERVICE_RPC_REGION_WRITER_H_
