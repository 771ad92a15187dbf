// What the benchmark does on the GPU beside compaction. A failure of the device ends the program with its text.
#ifndef CHUNKKV_TESTS_BENCH_GPU_DEVICE_WORK_H_
#define CHUNKKV_TESTS_BENCH_GPU_DEVICE_WORK_H_

#include <cstddef>
#include <cstdint>

#include "chunkkv/kernels/compactor.h"

namespace chunkkv::bench {

// A point in a stream's work whose time can be told.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Record(void* stream);
  // Of the work between them; waits for `end`.
  static double MillisecondsBetween(const Event& begin, const Event& end);

 private:
  void* event_;
};

// Elements [0, count) become numbers of a seeded normal distribution. kF16 or kBF16.
void FillNormal(DType dtype, void* to, int64_t count, uint32_t seed, void* stream);
// Floats [0, count) of `least` to `most`, likewise.
void FillUniform(float least, float most, float* to, int64_t count, uint32_t seed, void* stream);

// Keeps the stream busy, so that what is started after it waits until it has been started altogether.
void Hold(double milliseconds, void* stream);

// Copies one layer's kept K and V as LMCache's kernels do: a block a row, a thread an 8-byte word. `keys` and `values`
// differ in address and destination alone.
void EightByteCopy(const GatherTask& keys, const GatherTask& values, void* stream);

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_DEVICE_WORK_H_
