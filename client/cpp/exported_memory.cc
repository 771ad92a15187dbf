#include "client/cpp/exported_memory.h"

#include <utility>

#include "service/base/status_macros.h"

namespace chunkkv::client {

absl::StatusOr<ExportedMemory> Export(const CudaDriver& driver, uint64_t address, int64_t size_bytes) {
  const uint64_t end = address + static_cast<uint64_t>(size_bytes);
  CHUNKKV_ASSIGN_OR_RETURN(DeviceAllocation allocation, driver.AllocationOf(address));
  ExportedMemory exported;
  exported.offset_bytes = static_cast<int64_t>(address - allocation.base);
  if (end - allocation.base <= allocation.bytes) {
    if (absl::StatusOr<std::string> handle = driver.IpcHandleOf(allocation.base); handle.ok()) {
      exported.ipc_handle = *std::move(handle);
      return exported;
    }
  }
  while (true) {
    CHUNKKV_ASSIGN_OR_RETURN(FileDescriptor descriptor, driver.DescriptorOf(allocation.base));
    exported.segments.push_back({std::move(descriptor), static_cast<int64_t>(allocation.bytes)});
    const uint64_t next = allocation.base + allocation.bytes;
    if (next >= end) return exported;
    CHUNKKV_ASSIGN_OR_RETURN(allocation, driver.AllocationOf(next));
  }
}

}  // namespace chunkkv::client
