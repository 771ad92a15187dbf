#include "tests/bench/gpu/bench_device.h"

#include <utility>

#include "chunkkv/kernels/cuda.h"
#include "kernels/cuda/cuda_compactor.h"
#include "kernels/cuda/device_launcher.h"
#include "tests/bench/gpu/must.h"

namespace chunkkv::bench {

BenchDevice::BenchDevice() {
  auto device_memory = MakeCudaMemory(0);
  Must(device_memory.status(), "opening the GPU");
  memory = *std::move(device_memory);
  compactor = MakeCudaCompactor(0).value();
  timed = cuda::MakeCompactor(MakeTimedLauncher(cuda::MakeDeviceLauncher(0).value(), launch_times));
  stream = memory->CreateStream().value();
}

BenchDevice::~BenchDevice() {
  launch_times.Clear();
  memory->DestroyStream(stream);
}

}  // namespace chunkkv::bench
