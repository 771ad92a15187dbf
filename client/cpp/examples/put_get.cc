// Puts a prompt's KV cache, compacted to a fifth, and gets it back. Run as: put_get ADDRESS
#include <cstdio>
#include <random>
#include <vector>

#include "chunkkv/client/client.h"

namespace ck = chunkkv::client;

namespace {

constexpr int64_t kTokens = 500;
constexpr int32_t kLayers = 2;
constexpr int32_t kHeads = 4;
constexpr int32_t kKvHeads = 2;
constexpr int32_t kHeadSize = 16;
constexpr int64_t kWindow = 32;

// Stands for what a model computes: `count` numbers.
std::vector<float> Tensor(int64_t count) {
  static std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

absl::Span<const std::byte> Bytes(const std::vector<float>& values) {
  return {reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float)};
}

chunkkv::ModelIdentity Model() {
  chunkkv::ModelIdentity model;
  model.name = "toy";
  model.revision = "first";
  model.kv_dtype = "f32";
  model.layer_count = kLayers;
  model.kv_head_count = kKvHeads;
  model.key_head_size = model.value_head_size = kHeadSize;
  return model;
}

chunkkv::AttentionRun Attention() {
  chunkkv::AttentionRun run;
  run.query_head_count = kHeads;
  run.kv_head_count = kKvHeads;
  run.key_head_size = run.value_head_size = kHeadSize;
  return run;
}

absl::Status PutAndGet(const char* address) {
  std::vector<std::vector<float>> k, v, q;
  std::vector<ck::LayerArrays> layers;
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    k.push_back(Tensor(kTokens * kKvHeads * kHeadSize));
    v.push_back(Tensor(kTokens * kKvHeads * kHeadSize));
    q.push_back(Tensor(kWindow * kHeads * kHeadSize));
    ck::LayerArrays& arrays = layers.emplace_back();
    arrays.keys = Bytes(k.back());
    arrays.values = Bytes(v.back());
    arrays.queries = Bytes(q.back());
  }
  std::vector<uint32_t> tokens(kTokens);
  for (int64_t i = 0; i < kTokens; ++i) tokens[i] = static_cast<uint32_t>(i % 97);

  // [readme]
  auto client = ck::Client::Connect(address);
  if (!client.ok()) return client.status();
  ck::PutRequest put;
  put.model = Model();                           // name, revision, dtype, shape: whose cache this is
  put.layout = {{0, kLayers, Attention(), {}}};  // heads, head sizes, dtype of each layer
  put.prompt.tokens = tokens;                    // what it is the cache of
  put.token_count = kTokens;
  put.spec.policy = chunkkv::Policy::kChunkKv;
  put.spec.keep_ratio = 0.2;
  put.score_source = chunkkv::ScoreSource::kQueryWindow;
  auto stored = (*client)->Put(put, layers);  // of each layer K and V [L, Hkv, D], and the last queries [w, H, D]
  if (!stored.ok()) return stored.status();

  ck::GetRequest get;
  get.model = put.model, get.prompt = put.prompt, get.accept = ck::Accept::LeastLossy();
  auto entry = (*client)->Get(get);  // whole and verified: entry->Find(layer, "k")->bytes, entry->PositionsOf(layer)
  if (!entry.ok()) return entry.status();
  // [/readme]
  std::printf("%lld of %lld tokens kept; the next one is at position %lld\n",
              static_cast<long long>(entry->Find(0, "k")->row_count), static_cast<long long>(entry->header.token_count),
              static_cast<long long>(entry->header.next_position));
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const absl::Status status = PutAndGet(argv[1]);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
