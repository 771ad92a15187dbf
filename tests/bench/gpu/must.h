#ifndef CHUNKKV_TESTS_BENCH_GPU_MUST_H_
#define CHUNKKV_TESTS_BENCH_GPU_MUST_H_

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "chunkkv/kernels/device_memory.h"
#include "kernels/staging/device_buffer.h"

namespace chunkkv::bench {

// Ends the program with the text of a failure.
inline void Must(const absl::Status& status, const std::string& what) {
  if (status.ok()) return;
  std::fprintf(stderr, "gpu_bench: %s: %s\n", what.c_str(), std::string(status.message()).c_str());
  std::exit(1);
}

inline void MustReserve(DeviceBuffer& buffer, size_t bytes, const std::string& what) {
  Must(buffer.Reserve(bytes), what + ": " + std::to_string(bytes) + " bytes");
}

inline void MustCopy(DeviceMemory& memory, void* to, const void* from, size_t bytes, void* stream) {
  Must(memory.CopyAsync(to, from, bytes, stream), "copying");
  Must(memory.Synchronize(stream), "copying");
}

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_MUST_H_
