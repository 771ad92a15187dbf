// What a server shares with clients on its host beside the network: memory they lend, and entries they map.
#ifndef CHUNKKV_SERVICE_TRANSFER_REGION_LOCAL_TRANSFERS_H_
#define CHUNKKV_SERVICE_TRANSFER_REGION_LOCAL_TRANSFERS_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "chunkkv/kernels/status.h"
#include "service/base/clock.h"
#include "service/transfer/region/device_importer.h"
#include "service/transfer/region/mapping_table.h"
#include "service/transfer/region/region_table.h"
#include "service/transfer/region/transfer_table.h"

namespace chunkkv {

struct LocalTransfers {
  LocalTransfers(std::string path, bool maps, std::shared_ptr<DeviceImporter> importer, const Clock& clock)
      : socket_path(std::move(path)), maps_entries(maps), device(std::move(importer)), mappings(clock) {}

  const std::string socket_path;  // of the LocalSocket; empty: nothing is shared
  const bool maps_entries;
  const std::shared_ptr<DeviceImporter> device;  // null: no regions of device memory
  RegionTable regions;
  TransferTable transfers;
  MappingTable mappings;

  // Errors: FAILED_PRECONDITION REGIONS_DISABLED.
  absl::Status CheckEnabled() const {
    if (!socket_path.empty()) return absl::OkStatus();
    return FailedPrecondition("REGIONS_DISABLED", "this server has no local socket: see its option --local-socket");
  }
  // Errors: FAILED_PRECONDITION DEVICE_REGIONS_DISABLED.
  absl::Status CheckDevice() const {
    if (device != nullptr) return absl::OkStatus();
    return FailedPrecondition("DEVICE_REGIONS_DISABLED",
                              "this server takes no device memory: see its option --device-regions");
  }
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_TRANSFER_REGION_LOCAL_TRANSFERS_H_
