// A region of a client's device memory, imported into this process.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_DEVICE_REGION_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_DEVICE_REGION_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "service/transfer/region/device_lane.h"
#include "service/transfer/region/peer_memory.h"

namespace chunkkv {

// Rows are gathered and scattered on the device, and cross to the host dense, in pieces of a lane: only what is read or
// written moves. Returns when the device is done with the client's memory.
class DeviceRegion final : public PeerMemory {
 public:
  // `memory`: size_bytes of the lane's device; what keeps it imported is its deleter.
  DeviceRegion(std::shared_ptr<std::byte> memory, int64_t size_bytes, DeviceLane& lane)
      : memory_(std::move(memory)), size_bytes_(size_bytes), lane_(lane) {}

  int64_t size_bytes() const override { return size_bytes_; }
  bool is_writable() const override { return true; }
  void Close() override { memory_ = nullptr; }
  absl::Status Read(int64_t offset, absl::Span<std::byte> to, const Cancelled& cancelled) const override;
  absl::Status Write(absl::Span<const std::byte> from, int64_t offset, const Cancelled& cancelled) const override;
  absl::Status ReadRows(const PeerRows& from, absl::Span<const RowRun> runs, const RowTarget& to,
                        const Cancelled& cancelled) const override;
  absl::Status WriteRows(absl::Span<const std::byte> from, const PeerRows& to, int64_t first_row,
                         const Cancelled& cancelled) const override;

 private:
  // One side is the region's.
  absl::Status Copy(const std::byte* from, std::byte* to, size_t size, const Cancelled& cancelled) const;

  std::shared_ptr<std::byte> memory_;
  const int64_t size_bytes_;
  DeviceLane& lane_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_DEVICE_REGION_H_
