#include "service/transfer/region/device_lane.h"

#include <algorithm>
#include <cstring>

#include "service/base/check.h"
#include "service/base/status_macros.h"

namespace chunkkv {
namespace {

// Bytes are what moves: elements of one byte.
template <typename View>
void Describe(const PeerRows& rows, MemoryPlace place, View& view) {
  view.dtype = DType::kF8E4M3;
  view.head_count = rows.head_count;
  view.head_size = static_cast<int32_t>(rows.head_bytes);
  view.token_stride_bytes = rows.token_stride_bytes;
  view.head_stride_bytes = rows.head_stride_bytes;
  view.place = place;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceLane>> DeviceLane::Create(const Compactor& compactor, DeviceMemory& memory,
                                                               int32_t max_sm_count) {
  std::unique_ptr<DeviceLane> lane(new DeviceLane(compactor, memory, max_sm_count));
  CHUNKKV_RETURN_IF_ERROR(lane->Allocate());
  return lane;
}

absl::Status DeviceLane::Allocate() {
  CHUNKKV_ASSIGN_OR_RETURN(stream_, memory_.CreateStream());
  CHUNKKV_ASSIGN_OR_RETURN(void* device, memory_.Allocate(kBytes));
  device_ = static_cast<std::byte*>(device);
  CHUNKKV_ASSIGN_OR_RETURN(void* pinned, memory_.AllocatePinned(kBytes));
  pinned_ = static_cast<std::byte*>(pinned);
  CHUNKKV_ASSIGN_OR_RETURN(void* failure, memory_.AllocatePinned(sizeof(uint64_t)));
  failure_ = static_cast<uint64_t*>(failure);
  *failure_ = kNoFailure;
  return absl::OkStatus();
}

DeviceLane::~DeviceLane() {
  if (failure_ != nullptr) memory_.FreePinned(failure_);
  if (pinned_ != nullptr) memory_.FreePinned(pinned_);
  if (device_ != nullptr) memory_.Free(device_);
  if (stream_ != nullptr) memory_.DestroyStream(stream_);
}

int64_t DeviceLane::PieceRows(const PeerRows& rows) {
  const int64_t by_index = kIndexBytes / 2 / static_cast<int64_t>(sizeof(int32_t));
  return std::min(by_index, kRowsBytes / std::max<int64_t>(1, rows.RowBytes()));
}

// Blocks that a piece does not touch are left out, so that its table is no longer than its rows.
template <typename View>
absl::Status DeviceLane::Place(const PeerRows& rows, absl::Span<const int64_t> numbers, View& view) {
  auto* const positions = reinterpret_cast<int32_t*>(pinned_);
  auto* const block_ids = reinterpret_cast<int32_t*>(pinned_ + kIndexBytes / 2);
  Describe(rows, memory_.Place(), view);
  int32_t blocks = 0;
  int64_t last_block = -1;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!rows.IsPaged()) {
      positions[i] = static_cast<int32_t>(numbers[i] - numbers[0]);
      continue;
    }
    const int64_t slot = rows.first_slot + numbers[i];
    if (slot / rows.block_tokens != last_block) {
      last_block = slot / rows.block_tokens;
      block_ids[blocks++] = rows.block_ids[last_block];
    }
    positions[i] = (blocks - 1) * rows.block_tokens + static_cast<int32_t>(slot % rows.block_tokens);
  }
  view.token_count = int64_t{positions[numbers.size() - 1]} + 1;
  if (rows.IsPaged()) {
    view.block_token_count = rows.block_tokens;
    view.block_stride_bytes = rows.block_stride_bytes;
    view.block_count = *std::max_element(block_ids, block_ids + blocks) + 1;
    view.block_ids = reinterpret_cast<const int32_t*>(device_ + kIndexBytes / 2);
    view.data += rows.offset_bytes;
  } else {
    view.data += rows.offset_bytes + numbers[0] * rows.token_stride_bytes;
  }
  return memory_.CopyAsync(device_, pinned_, kIndexBytes / 2 + blocks * sizeof(int32_t), stream_);
}

absl::Status DeviceLane::Finish(const Batch& batch) {
  static const Plan kNoPlan;
  CHUNKKV_CHECK(compactor_.WorkspaceBytes(kNoPlan, batch) <= size_t{kWorkspaceBytes});
  ExecutionContext context;
  context.stream = stream_;
  context.failure = failure_;
  context.max_sm_count = max_sm_count_;
  CHUNKKV_RETURN_IF_ERROR(
      compactor_.Enqueue(kNoPlan, batch, {device_rows() + kRowsBytes, size_t{kWorkspaceBytes}}, context));
  return compactor_.Wait(context);
}

absl::Status DeviceLane::StartGather(const std::byte* peer, const PeerRows& from, absl::Span<const int64_t> rows) {
  GatherTask task;
  task.source.data = peer;
  CHUNKKV_RETURN_IF_ERROR(Place(from, rows, task.source));
  task.positions = absl::MakeConstSpan(reinterpret_cast<const int32_t*>(device_), rows.size());
  task.destination = device_rows();
  Batch batch;
  batch.gather = absl::MakeConstSpan(&task, 1);
  CHUNKKV_RETURN_IF_ERROR(Finish(batch));
  const size_t size = rows.size() * static_cast<size_t>(from.RowBytes());
  CHUNKKV_RETURN_IF_ERROR(memory_.CopyAsync(pinned_rows(), device_rows(), size, stream_));
  return memory_.Synchronize(stream_);
}

absl::Status DeviceLane::Scatter(absl::Span<const std::byte> dense, const PeerRows& to, int64_t first_row,
                                 std::byte* peer) {
  std::vector<int64_t> rows(dense.size() / static_cast<size_t>(to.RowBytes()));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = first_row + static_cast<int64_t>(i);
  MutexLock lock(mutex_);
  std::memcpy(pinned_rows(), dense.data(), dense.size());
  ScatterTask task;
  task.destination.data = peer;
  CHUNKKV_RETURN_IF_ERROR(Place(to, rows, task.destination));
  CHUNKKV_RETURN_IF_ERROR(memory_.CopyAsync(device_rows(), pinned_rows(), dense.size(), stream_));
  task.source = device_rows();
  task.positions = absl::MakeConstSpan(reinterpret_cast<const int32_t*>(device_), rows.size());
  Batch batch;
  batch.scatter = absl::MakeConstSpan(&task, 1);
  return Finish(batch);
}

absl::Status DeviceLane::Copy(void* to, const void* from, int64_t size_bytes) {
  MutexLock lock(mutex_);
  CHUNKKV_RETURN_IF_ERROR(memory_.CopyAsync(to, from, static_cast<size_t>(size_bytes), stream_));
  return memory_.Synchronize(stream_);
}

}  // namespace chunkkv
