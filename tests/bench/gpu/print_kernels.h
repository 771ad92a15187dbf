#ifndef CHUNKKV_TESTS_BENCH_GPU_PRINT_KERNELS_H_
#define CHUNKKV_TESTS_BENCH_GPU_PRINT_KERNELS_H_

#include <string>

#include "tests/bench/gpu/bench_device.h"
#include "tests/bench/gpu/device_request.h"

namespace chunkkv::bench {

// Runs `request` once more and writes to standard error which kernels its time goes to. Events between the kernels
// lengthen it.
void PrintKernels(const std::string& name, DeviceRequest& request, BenchDevice& device);

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_PRINT_KERNELS_H_
