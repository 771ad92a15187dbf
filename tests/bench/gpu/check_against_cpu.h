#ifndef CHUNKKV_TESTS_BENCH_GPU_CHECK_AGAINST_CPU_H_
#define CHUNKKV_TESTS_BENCH_GPU_CHECK_AGAINST_CPU_H_

#include "tests/bench/gpu/bench_device.h"
#include "tests/bench/gpu/bench_shape.h"

namespace chunkkv::bench {

// A small prompt of `shape`'s model, layout and dtype, compacted on the GPU and on the CPU: ends the program where
// scores differ by more than float32 does, a choice is not one of near ties, or a kept row is not its source's.
void CheckAgainstCpu(BenchShape shape, bool has_lse, BenchDevice& device);

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_CHECK_AGAINST_CPU_H_
