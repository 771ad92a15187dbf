// What rows pass through between a device and the host, one piece at a time.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_DEVICE_LANE_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_DEVICE_LANE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"
#include "service/base/mutex.h"
#include "service/transfer/region/peer_rows.h"

namespace chunkkv {

// One stream with memory on both sides of it. Thread-safe: one piece moves at a time. `compactor` and `memory`, which
// are of one device, must outlive it. Errors of all: the device's (INTERNAL CUDA_ERROR).
class DeviceLane {
 public:
  // Of each side: pieces are cut to fit.
  static constexpr int64_t kBytes = int64_t{16} << 20;

  // max_sm_count: as ExecutionContext's.
  static absl::StatusOr<std::unique_ptr<DeviceLane>> Create(const Compactor& compactor, DeviceMemory& memory,
                                                            int32_t max_sm_count = 0);
  ~DeviceLane();
  DeviceLane(const DeviceLane&) = delete;
  DeviceLane& operator=(const DeviceLane&) = delete;

  // Rows that one piece may have; 0: not one row fits.
  static int64_t PieceRows(const PeerRows& rows);

  // Gathers `rows` (ascending, at most PieceRows) of the peer's memory, which begins at `peer`, and hands them dense,
  // [count, heads, head bytes], to `take`, which must not keep them.
  template <typename Take>
  absl::Status Gather(const std::byte* peer, const PeerRows& from, absl::Span<const int64_t> rows, Take take) {
    MutexLock lock(mutex_);
    absl::Status status = StartGather(peer, from, rows);
    if (status.ok()) take(static_cast<const std::byte*>(pinned_rows()));
    return status;
  }
  // Scatters dense rows to rows [first_row, first_row + count) of the peer's memory.
  absl::Status Scatter(absl::Span<const std::byte> dense, const PeerRows& to, int64_t first_row, std::byte* peer);
  // At most kBytes.
  absl::Status Copy(void* to, const void* from, int64_t size_bytes);

 private:
  DeviceLane(const Compactor& compactor, DeviceMemory& memory, int32_t max_sm_count)
      : compactor_(compactor), memory_(memory), max_sm_count_(max_sm_count) {}
  absl::Status Allocate();
  // Where the piece's rows are, once they are renumbered: positions and block ids are on the device.
  template <typename View>
  absl::Status Place(const PeerRows& rows, absl::Span<const int64_t> numbers, View& view);
  absl::Status StartGather(const std::byte* peer, const PeerRows& from, absl::Span<const int64_t> rows)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Finish(const Batch& batch);
  std::byte* pinned_rows() const { return pinned_ + kIndexBytes; }
  std::byte* device_rows() const { return device_ + kIndexBytes; }

  static constexpr int64_t kIndexBytes = kBytes / 8;       // of block ids and positions, before the rows
  static constexpr int64_t kWorkspaceBytes = kBytes / 16;  // behind the rows
  static constexpr int64_t kRowsBytes = kBytes - kIndexBytes - kWorkspaceBytes;

  const Compactor& compactor_;
  DeviceMemory& memory_;
  const int32_t max_sm_count_;
  Mutex mutex_;
  void* stream_ = nullptr;
  std::byte* device_ = nullptr;
  std::byte* pinned_ = nullptr;
  uint64_t* failure_ = nullptr;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_DEVICE_LANE_H_
