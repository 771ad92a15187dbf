// Device memory as a server is told of it.
#ifndef CHUNKKV_CLIENT_CPP_EXPORTED_MEMORY_H_
#define CHUNKKV_CLIENT_CPP_EXPORTED_MEMORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cpp/cuda_driver.h"
#include "service/format/file_descriptor.h"

namespace chunkkv::client {

struct ExportedMemory {
  struct Segment {
    FileDescriptor descriptor;
    int64_t size_bytes = 0;
  };
  std::string ipc_handle;         // of the allocation; empty: `segments`
  std::vector<Segment> segments;  // allocations, in the order of their addresses
  int64_t offset_bytes = 0;       // of the memory in its allocation, or its first segment
};

// [address, address + size_bytes), which is not empty. Errors: INVALID_ARGUMENT NOT_DEVICE_MEMORY; FAILED_PRECONDITION
// NOT_EXPORTABLE: it is neither in one allocation of cudaMalloc, nor in allocations of cuMemCreate that may be shared by
// descriptor, but of a pool (cudaMallocAsync), managed, or in a CUDA array.
absl::StatusOr<ExportedMemory> Export(const CudaDriver& driver, uint64_t address, int64_t size_bytes);

}  // namespace chunkkv::client

#endif  // CHUNKKV_CLIENT_CPP_EXPORTED_MEMORY_H_
