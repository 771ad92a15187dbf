// What gpu_bench --only runs: each prints its figures (device_timing.h), after a check against the CPU.
#ifndef CHUNKKV_TESTS_BENCH_GPU_BENCHES_H_
#define CHUNKKV_TESTS_BENCH_GPU_BENCHES_H_

#include "tests/bench/gpu/bench_device.h"

namespace chunkkv::bench {

void BenchScoring(BenchDevice& device);    // G1
void BenchSelecting(BenchDevice& device);  // G2
void BenchGathering(BenchDevice& device);  // G3
void BenchRequests(BenchDevice& device);   // G4
void BenchToHost(BenchDevice& device);     // P1

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_BENCHES_H_
