// The GPU that figures are of.
#ifndef CHUNKKV_TESTS_BENCH_GPU_BENCH_DEVICE_H_
#define CHUNKKV_TESTS_BENCH_GPU_BENCH_DEVICE_H_

#include <memory>

#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"
#include "tests/bench/gpu/timed_launcher.h"

namespace chunkkv::bench {

struct BenchDevice {
  std::unique_ptr<DeviceMemory> memory;
  std::unique_ptr<Compactor> compactor;
  LaunchTimes launch_times;
  std::unique_ptr<Compactor> timed;  // the same, into launch_times
  void* stream = nullptr;

  // Ends the program where there is no such GPU.
  BenchDevice();
  ~BenchDevice();
};

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_BENCH_DEVICE_H_
