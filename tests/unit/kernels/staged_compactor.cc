#include "tests/unit/kernels/staged_compactor.h"

#include <utility>
#include <vector>

#include "kernels/common/check_batch.h"
#include "kernels/common/run.h"
#include "tests/unit/kernels/device_mirror.h"

namespace chunkkv::testing {
namespace {

template <typename Byte>
size_t RowsBytes(const BasicRowsView<Byte>& rows) {
  if (rows.token_count == 0 || rows.head_count == 0 || rows.head_size == 0) return 0;
  const int64_t head_bytes = rows.head_size * static_cast<int64_t>(DTypeSize(rows.dtype));
  const int64_t heads = (rows.head_count - 1) * rows.head_stride_bytes + head_bytes;
  if (!rows.IsPaged()) return (rows.token_count - 1) * rows.token_stride_bytes + heads;
  if (rows.block_count == 0) return 0;
  return (rows.block_count - 1) * rows.block_stride_bytes + (rows.block_token_count - 1) * rows.token_stride_bytes +
         heads;
}

// Tasks of a batch with their addresses on the device.
class StagedBatch {
 public:
  StagedBatch(const Plan& plan, const Batch& batch, DeviceMemory& memory, void* stream)
      : plan_(plan), memory_(memory), mirror_(memory, stream) {
    // Caches first: smaller views may lie in them.
    for (const ScatterTask& task : batch.scatter) scatter_.push_back(Staged(task));
    for (const ScoreTask& task : batch.score) score_.push_back(Staged(task));
    for (const SelectTask& task : batch.select) select_.push_back(Staged(task));
    for (const GatherTask& task : batch.gather) gather_.push_back(Staged(task));
    for (const RotateTask& task : batch.rotate) rotate_.push_back(Staged(task));
    for (const DigestTask& task : batch.digest) digest_.push_back(Staged(task));
  }

  Batch batch() const { return {score_, select_, gather_, rotate_, scatter_, digest_}; }
  void CopyBack() { mirror_.CopyBack(); }

 private:
  template <typename Byte>
  BasicRowsView<Byte> StagedRows(BasicRowsView<Byte> rows) {
    const size_t bytes = RowsBytes(rows);
    rows.data = bytes == 0 ? rows.data : mirror_.In(rows.data, bytes);
    rows.place = memory_.Place();
    if (rows.IsPaged()) {
      const int64_t blocks = (rows.token_count + rows.block_token_count - 1) / rows.block_token_count;
      rows.block_ids = mirror_.In(rows.block_ids, blocks * sizeof(int32_t));
    }
    return rows;
  }

  DenseView StagedDense(DenseView view, int64_t elements) {
    view.data = mirror_.In(view.data, elements * DTypeSize(view.dtype));
    view.place = memory_.Place();
    return view;
  }

  absl::Span<const int32_t> StagedPositions(absl::Span<const int32_t> positions) {
    return {mirror_.In(positions.data(), positions.size() * sizeof(int32_t)), positions.size()};
  }

  ScoreTask Staged(ScoreTask task) {
    const AttentionShape& shape = plan_.layers[task.layer];
    const int64_t window = std::min(plan_.window_length, plan_.token_count);
    const int64_t queries = window * shape.query_head_count;
    task.token_scores = mirror_.Out(task.token_scores, plan_.past_length * sizeof(float));
    if (plan_.source == ScoreSource::kAttention) {
      task.attention = StagedDense(task.attention, queries * plan_.token_count);
    } else if (plan_.source == ScoreSource::kTokenScores) {
      task.token_scores_in = StagedDense(task.token_scores_in, plan_.past_length);
    } else {
      task.keys = StagedRows(task.keys);
      task.key_scales = StagedRows(task.key_scales);
      task.queries = StagedDense(task.queries, queries * shape.key_head_size);
      task.lse = mirror_.In(task.lse, queries * sizeof(float));
    }
    return task;
  }

  SelectTask Staged(SelectTask task) {
    lists_.emplace_back();
    for (const float* scores : task.token_scores) {
      lists_.back().push_back(mirror_.In(scores, plan_.past_length * sizeof(float)));
    }
    task.positions = mirror_.Out(task.positions, task.budget * sizeof(int32_t));
    task.retained_mass = mirror_.Out(task.retained_mass, task.token_scores.size() * sizeof(double));
    task.token_scores = lists_.back();
    return task;
  }

  GatherTask Staged(GatherTask task) {
    const size_t row_bytes = DTypeSize(task.source.dtype) * task.source.head_count * task.source.head_size;
    task.source = StagedRows(task.source);
    task.destination = mirror_.Out(task.destination, task.positions.size() * row_bytes);
    task.positions = StagedPositions(task.positions);
    return task;
  }

  RotateTask Staged(RotateTask task) {
    task.destination = mirror_.Out(task.destination, RowsBytes(task.source));
    task.source = StagedRows(task.source);
    task.positions = StagedPositions(task.positions);
    return task;
  }

  ScatterTask Staged(ScatterTask task) {
    MutableRowsView& cache = task.destination;
    const size_t row_bytes = DTypeSize(cache.dtype) * cache.head_count * cache.head_size;
    task.source = mirror_.In(task.source, task.positions.size() * row_bytes);
    task.positions = StagedPositions(task.positions);
    if (const size_t bytes = RowsBytes(cache); bytes > 0) mirror_.Out(cache.data, bytes);
    cache = StagedRows(cache);
    return task;
  }

  DigestTask Staged(DigestTask task) {
    const int64_t blocks = (task.size_bytes + kDigestBlockBytes - 1) / kDigestBlockBytes;
    task.data = mirror_.In(task.data, task.size_bytes);
    task.place = memory_.Place();
    task.block_digests = mirror_.Out(task.block_digests, blocks * sizeof(uint64_t));
    return task;
  }

  const Plan& plan_;
  DeviceMemory& memory_;
  DeviceMirror mirror_;
  std::vector<ScoreTask> score_;
  std::vector<SelectTask> select_;
  std::vector<GatherTask> gather_;
  std::vector<RotateTask> rotate_;
  std::vector<ScatterTask> scatter_;
  std::vector<DigestTask> digest_;
  std::vector<std::vector<const float*>> lists_;
};

class StagedCompactor final : public Compactor {
 public:
  StagedCompactor(std::unique_ptr<Compactor> device, std::unique_ptr<DeviceMemory> memory)
      : memory_(std::move(memory)), device_(std::move(device)), stream_(memory_->CreateStream().value()) {}
  ~StagedCompactor() override { memory_->DestroyStream(stream_); }

  std::string_view Name() const override { return device_->Name(); }

  size_t WorkspaceBytes(const Plan& plan, const Batch& batch) const override {
    return device_->WorkspaceBytes(plan, batch);
  }

  absl::Status Enqueue(const Plan& plan, const Batch& batch, absl::Span<std::byte> workspace,
                       ExecutionContext& context) const override {
    const size_t bytes = WorkspaceBytes(plan, batch);
    if (absl::Status status = CheckHostBatch(plan, batch, workspace, bytes); !status.ok()) return status;
    if (!context.status.ok()) return absl::OkStatus();
    StagedBatch staged(plan, batch, *memory_, stream_);
    auto* on_device = static_cast<std::byte*>(memory_->Allocate(bytes).value());
    ExecutionContext inner = context;
    inner.stream = stream_;
    inner.failure = static_cast<uint64_t*>(memory_->AllocatePinned(sizeof(uint64_t)).value());
    *inner.failure = kNoFailure;
    absl::Status refused = device_->Enqueue(plan, staged.batch(), absl::MakeSpan(on_device, bytes), inner);
    if (refused.ok()) {
      context.status = device_->Wait(inner);
      staged.CopyBack();
    }
    memory_->FreePinned(inner.failure);
    memory_->Free(on_device);
    return refused;
  }

  absl::Status Wait(ExecutionContext& context) const override { return TakeStatus(context); }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  std::unique_ptr<Compactor> device_;
  void* stream_;
};

}  // namespace

std::unique_ptr<Compactor> MakeStagedCompactor(std::unique_ptr<Compactor> device,
                                               std::unique_ptr<DeviceMemory> memory) {
  return std::make_unique<StagedCompactor>(std::move(device), std::move(memory));
}

}  // namespace chunkkv::testing
