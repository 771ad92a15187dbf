#include "tests/bench/gpu/device_prompt.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "tests/bench/gpu/device_work.h"
#include "tests/bench/gpu/must.h"

namespace chunkkv::bench {
namespace {

constexpr auto kDevice = DeviceBuffer::Kind::kDevice;

}  // namespace

DevicePrompt::DevicePrompt(const BenchShape& shape, bool has_values, DeviceMemory& memory, void* stream)
    : shape_(shape),
      has_values_(has_values),
      attention_(shape.Attention()),
      place_(memory.Place()),
      keys_(memory, kDevice),
      values_(memory, kDevice),
      queries_(memory, kDevice),
      lse_(memory, kDevice),
      block_ids_(memory, kDevice) {
  const int64_t layers = shape.LayerCount();
  const auto element_bytes = static_cast<int64_t>(DTypeSize(shape.dtype));
  MustReserve(keys_, layers * LayerElements() * element_bytes, "keys");
  FillNormal(shape.dtype, keys_.data(), layers * LayerElements(), 1, stream);
  if (has_values) {
    MustReserve(values_, layers * LayerElements() * element_bytes, "values");
    FillNormal(shape.dtype, values_.data(), layers * LayerElements(), 2, stream);
  }
  MustReserve(queries_, layers * QueryElements() * element_bytes, "queries");
  FillNormal(shape.dtype, queries_.data(), layers * QueryElements(), 3, stream);
  MustReserve(lse_, layers * LseCount() * sizeof(float), "LSEs");
  const float lse = std::log(static_cast<float>(shape.tokens)) + 0.5f;
  FillUniform(lse - 0.2f, lse + 0.2f, reinterpret_cast<float*>(lse_.data()), layers * LseCount(), 4, stream);
  if (shape.layout == Layout::kPaged) {
    std::mt19937 random(5);
    std::vector<int32_t> ids(layers * BlocksOfLayer());
    for (auto at = ids.begin(); at != ids.end(); at += BlocksOfLayer()) {
      std::iota(at, at + BlocksOfLayer(), 0);
      std::shuffle(at, at + BlocksOfLayer(), random);
    }
    MustReserve(block_ids_, ids.size() * sizeof(int32_t), "block ids");
    MustCopy(memory, block_ids_.data(), ids.data(), ids.size() * sizeof(int32_t), stream);
  }
  Must(memory.Synchronize(stream), "filling a prompt");
  layers_ = Layers(keys_.data(), values_.data(), queries_.data(), reinterpret_cast<const float*>(lse_.data()),
                   reinterpret_cast<const int32_t*>(block_ids_.data()));
}

int64_t DevicePrompt::LayerElements() const {
  const int64_t tokens = shape_.layout == Layout::kPaged ? BlocksOfLayer() * kBlockTokens : shape_.tokens;
  return tokens * attention_.kv_head_count * attention_.key_head_size;
}

int64_t DevicePrompt::QueryElements() const { return LseCount() * attention_.key_head_size; }

int64_t DevicePrompt::LseCount() const { return int64_t{shape_.window} * attention_.query_head_count; }

RowsView DevicePrompt::Rows(const std::byte* layer, const int32_t* block_ids) const {
  const auto view = shape_.layout == Layout::kHeadMajor ? HeadMajorRows : TokenMajorRows;
  RowsView rows = view(layer, shape_.dtype, shape_.tokens, attention_.kv_head_count, attention_.key_head_size);
  if (shape_.layout != Layout::kPaged) return rows;
  rows.block_ids = block_ids;
  rows.block_token_count = kBlockTokens;
  rows.block_count = static_cast<int32_t>(BlocksOfLayer());
  rows.block_stride_bytes = kBlockTokens * rows.token_stride_bytes;
  return rows;
}

std::vector<testing::LayerInput> DevicePrompt::Layers(const std::byte* keys, const std::byte* values,
                                                      const std::byte* queries, const float* lse,
                                                      const int32_t* block_ids) const {
  const auto element_bytes = static_cast<int64_t>(DTypeSize(shape_.dtype));
  std::vector<testing::LayerInput> layers(shape_.LayerCount());
  for (int64_t i = 0; i < shape_.LayerCount(); ++i) {
    const int32_t* ids = shape_.layout == Layout::kPaged ? block_ids + i * BlocksOfLayer() : nullptr;
    layers[i].keys = Rows(keys + i * LayerElements() * element_bytes, ids);
    if (has_values_) layers[i].values = Rows(values + i * LayerElements() * element_bytes, ids);
    layers[i].queries = {queries + i * QueryElements() * element_bytes, shape_.dtype, {}};
    layers[i].lse = lse + i * LseCount();
    layers[i].keys.place = layers[i].values.place = layers[i].queries.place = place_;
  }
  return layers;
}

DevicePrompt::HostCopy DevicePrompt::Download(DeviceMemory& memory, void* stream) const {
  const int64_t layers = shape_.LayerCount();
  const auto element_bytes = static_cast<int64_t>(DTypeSize(shape_.dtype));
  HostCopy copy;
  const auto download = [&](auto& to, const DeviceBuffer& from, int64_t count) {
    to.resize(count);
    MustCopy(memory, to.data(), from.data(), to.size() * sizeof to[0], stream);
  };
  download(copy.keys, keys_, layers * LayerElements() * element_bytes);
  if (has_values_) download(copy.values, values_, layers * LayerElements() * element_bytes);
  download(copy.queries, queries_, layers * QueryElements() * element_bytes);
  download(copy.lse, lse_, layers * LseCount());
  if (shape_.layout == Layout::kPaged) download(copy.block_ids, block_ids_, layers * BlocksOfLayer());
  copy.layers =
      Layers(copy.keys.data(), copy.values.data(), copy.queries.data(), copy.lse.data(), copy.block_ids.data());
  for (testing::LayerInput& layer : copy.layers) layer.keys.place = layer.values.place = layer.queries.place = {};
  return copy;
}

}  // namespace chunkkv::bench
