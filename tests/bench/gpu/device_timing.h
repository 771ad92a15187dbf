// Medians of repeated work on a stream, and their lines.
#ifndef CHUNKKV_TESTS_BENCH_GPU_DEVICE_TIMING_H_
#define CHUNKKV_TESTS_BENCH_GPU_DEVICE_TIMING_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/bench/gpu/bench_shape.h"

namespace chunkkv::bench {

struct DeviceTiming {
  double median_ms = 0;
  double spread = 0;  // (third quartile - first quartile) / median
  int repeats = 0;
  double start_ms = 0;  // the host's time to start one run
};

// Times start(run), which starts work on `stream`, and is called with 0, 1, 2, ...: by the device's events, after a
// warm up, until `seconds` have passed. Runs are started while the stream is held, so that the host's time to start
// them is no part of it; short ones are timed several at once.
DeviceTiming TimeOnStream(void* stream, double seconds, const std::function<void(int run)>& start);

// What one JSON line says beside its time; lines.py reads it.
struct LineFields {
  std::string bench;  // "G1", ...
  std::string name;
  std::optional<int64_t> bytes;
  std::optional<int64_t> scratch_bytes;
  std::string peer;
};

// Writes the line to standard output at once, and a readable one to standard error.
void PrintLine(const LineFields& fields, const DeviceTiming& timing);

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_DEVICE_TIMING_H_
