// A prompt's KV with seeded random contents, made on a device.
#ifndef CHUNKKV_TESTS_BENCH_GPU_DEVICE_PROMPT_H_
#define CHUNKKV_TESTS_BENCH_GPU_DEVICE_PROMPT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/device_memory.h"
#include "kernels/staging/device_buffer.h"
#include "tests/bench/gpu/bench_shape.h"
#include "tests/unit/kernels/compaction_run.h"

namespace chunkkv::bench {

inline constexpr int32_t kBlockTokens = 16;  // of a paged cache

class DevicePrompt {
 public:
  // Keys, queries and values are normal; an LSE is what such logits have on average. Without values where the bench
  // only scores. Ends the program where memory runs out.
  DevicePrompt(const BenchShape& shape, bool has_values, DeviceMemory& memory, void* stream);
  DevicePrompt(const DevicePrompt&) = delete;
  DevicePrompt& operator=(const DevicePrompt&) = delete;

  // Views of the device.
  const std::vector<testing::LayerInput>& layers() const { return layers_; }

  // The same contents on the host.
  struct HostCopy {
    std::vector<std::byte> keys, values, queries;
    std::vector<float> lse;
    std::vector<int32_t> block_ids;
    std::vector<testing::LayerInput> layers;
  };
  HostCopy Download(DeviceMemory& memory, void* stream) const;

 private:
  RowsView Rows(const std::byte* layer, const int32_t* block_ids) const;
  std::vector<testing::LayerInput> Layers(const std::byte* keys, const std::byte* values, const std::byte* queries,
                                          const float* lse, const int32_t* block_ids) const;
  int64_t BlocksOfLayer() const { return (shape_.tokens + kBlockTokens - 1) / kBlockTokens; }
  int64_t LayerElements() const;  // of K, or of V, with what the last block has to spare
  int64_t QueryElements() const;  // of one layer
  int64_t LseCount() const;       // likewise

  BenchShape shape_;
  bool has_values_;
  AttentionShape attention_;
  MemoryPlace place_;
  DeviceBuffer keys_, values_, queries_, lse_, block_ids_;
  std::vector<testing::LayerInput> layers_;
};

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_GPU_DEVICE_PROMPT_H_
