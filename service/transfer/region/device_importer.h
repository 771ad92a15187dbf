// Where a server reaches device memory of its clients.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_DEVICE_IMPORTER_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_DEVICE_IMPORTER_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"
#include "service/format/file_descriptor.h"
#include "service/transfer/region/device_lane.h"
#include "service/transfer/region/peer_memory.h"

namespace chunkkv {

// One of the client's allocations, by its descriptor.
struct OfferedSegment {
  FileDescriptor descriptor;
  int64_t size_bytes = 0;
};

// Thread-safe. What it imports keeps it.
class DeviceImporter : public std::enable_shared_from_this<DeviceImporter> {
 public:
  // `compactor`: of the memory's device. max_sm_count: as ExecutionContext's. Errors: of the device.
  static absl::StatusOr<std::shared_ptr<DeviceImporter>> Open(std::unique_ptr<Compactor> compactor,
                                                              std::unique_ptr<DeviceMemory> memory,
                                                              int32_t max_sm_count);

  // Bytes [offset, offset + size) of an allocation that cudaMalloc made and cudaIpcGetMemHandle named, or of segments
  // that cuMemCreate made. Errors: INVALID_ARGUMENT: BAD_REGION_SIZE (not positive, or past the memory's end),
  // BAD_REGION_OFFSET (negative), BAD_SEGMENT_SIZE (not a positive multiple of 2 MiB, or too large together);
  // and those of DeviceMemory's imports.
  absl::StatusOr<std::shared_ptr<PeerMemory>> OfHandle(const IpcHandle& handle, int64_t offset_bytes,
                                                       int64_t size_bytes);
  absl::StatusOr<std::shared_ptr<PeerMemory>> OfSegments(const std::vector<OfferedSegment>& segments,
                                                         int64_t offset_bytes, int64_t size_bytes);

 private:
  DeviceImporter(std::unique_ptr<Compactor> compactor, std::unique_ptr<DeviceMemory> memory)
      : compactor_(std::move(compactor)), memory_(std::move(memory)) {}
  absl::StatusOr<std::shared_ptr<PeerMemory>> RegionOf(const ImportedMemory& imported, int64_t offset_bytes,
                                                       int64_t size_bytes);

  const std::unique_ptr<Compactor> compactor_;
  const std::unique_ptr<DeviceMemory> memory_;
  std::unique_ptr<DeviceLane> lane_;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_DEVICE_IMPORTER_H_
