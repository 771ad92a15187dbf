#include "service/transfer/region/device_importer.h"

#include <limits>
#include <string>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/transfer/region/device_region.h"

namespace chunkkv {
namespace {

absl::Status CheckRange(int64_t offset_bytes, int64_t size_bytes) {
  if (offset_bytes < 0) return InvalidArgument("BAD_REGION_OFFSET", "region: its offset is negative");
  if (size_bytes <= 0) return InvalidArgument("BAD_REGION_SIZE", "region: its size is not positive");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<DeviceImporter>> DeviceImporter::Open(std::unique_ptr<Compactor> compactor,
                                                                     std::unique_ptr<DeviceMemory> memory,
                                                                     int32_t max_sm_count) {
  std::shared_ptr<DeviceImporter> importer(new DeviceImporter(std::move(compactor), std::move(memory)));
  CHUNKKV_ASSIGN_OR_RETURN(importer->lane_, DeviceLane::Create(*importer->compactor_, *importer->memory_, max_sm_count));
  return importer;
}

absl::StatusOr<std::shared_ptr<PeerMemory>> DeviceImporter::OfHandle(const IpcHandle& handle, int64_t offset_bytes,
                                                                     int64_t size_bytes) {
  CHUNKKV_RETURN_IF_ERROR(CheckRange(offset_bytes, size_bytes));
  CHUNKKV_ASSIGN_OR_RETURN(const ImportedMemory imported, memory_->ImportHandle(handle));
  return RegionOf(imported, offset_bytes, size_bytes);
}

absl::StatusOr<std::shared_ptr<PeerMemory>> DeviceImporter::OfSegments(const std::vector<OfferedSegment>& segments,
                                                                       int64_t offset_bytes, int64_t size_bytes) {
  CHUNKKV_RETURN_IF_ERROR(CheckRange(offset_bytes, size_bytes));
  constexpr auto kGranularity = static_cast<int64_t>(kSlabGranularityBytes);
  int64_t left = std::numeric_limits<int64_t>::max();
  std::vector<ExportedSegment> exported;
  for (const OfferedSegment& segment : segments) {
    if (segment.size_bytes <= 0 || segment.size_bytes % kGranularity != 0 || segment.size_bytes > left) {
      return InvalidArgument("BAD_SEGMENT_SIZE", "segments: a size of " + std::to_string(segment.size_bytes) +
                                                     " bytes; an allocation's is a multiple of 2 MiB");
    }
    left -= segment.size_bytes;
    exported.push_back({segment.descriptor.get(), static_cast<size_t>(segment.size_bytes)});
  }
  CHUNKKV_ASSIGN_OR_RETURN(const ImportedMemory imported, memory_->ImportSegments(exported));
  return RegionOf(imported, offset_bytes, size_bytes);
}

absl::StatusOr<std::shared_ptr<PeerMemory>> DeviceImporter::RegionOf(const ImportedMemory& imported,
                                                                     int64_t offset_bytes, int64_t size_bytes) {
  const std::shared_ptr<std::byte> memory(
      imported.data, [self = shared_from_this()](std::byte* data) { self->memory_->CloseImported(data); });
  const auto bytes = static_cast<int64_t>(imported.bytes);
  if (offset_bytes > bytes || size_bytes > bytes - offset_bytes) {
    return InvalidArgument("BAD_REGION_SIZE", "region: the memory has " + std::to_string(bytes) +
                                                  " bytes");
  }
  return std::make_shared<DeviceRegion>(std::shared_ptr<std::byte>(memory, imported.data + offset_bytes), size_bytes,
                                        *lane_);
}

}  // namespace chunkkv
