#include "tests/bench/gpu/print_kernels.h"

#include <cstdio>

namespace chunkkv::bench {

void PrintKernels(const std::string& name, DeviceRequest& request, BenchDevice& device) {
  constexpr double kHoldMs = 1;  // for the host to start everything
  device.launch_times.Clear();
  Hold(kHoldMs, device.stream);
  request.Start(*device.timed);
  request.Finish(*device.timed);
  std::fprintf(stderr, "  %s: %s\n", name.c_str(), device.launch_times.Summary().c_str());
}

}  // namespace chunkkv::bench
