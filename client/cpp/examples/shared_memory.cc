// A worker on the server's host: K and V are computed into memory that the server reads them from, and the stored entry
// is mapped. Needs a server with --local-socket and --map-entries. Run as: shared_memory ADDRESS
#include <cstdio>
#include <vector>

#include "chunkkv/client/client.h"

namespace ck = chunkkv::client;

namespace {

constexpr int64_t kTokens = 500;
constexpr int32_t kLayers = 2;
constexpr int32_t kKvHeads = 2;
constexpr int32_t kHeadSize = 16;
constexpr int64_t kTensorBytes = kTokens * kKvHeads * kHeadSize * int64_t{sizeof(float)};

ck::PutRequest Request() {
  ck::PutRequest put;
  put.model.name = "toy";
  put.model.revision = "shared";
  put.model.kv_dtype = "f32";
  put.model.layer_count = kLayers;
  put.model.kv_head_count = kKvHeads;
  put.model.key_head_size = put.model.value_head_size = kHeadSize;
  chunkkv::AttentionRun attention;
  attention.query_head_count = attention.kv_head_count = kKvHeads;
  attention.key_head_size = attention.value_head_size = kHeadSize;
  put.layout = {{0, kLayers, attention, {}}};
  put.prompt.tokens = {1, 2, 3};
  put.prompt.tokens.resize(kTokens, 7);
  put.token_count = kTokens;
  put.spec.policy = chunkkv::Policy::kStreamingLlm;  // needs no scores
  put.spec.keep_ratio = 0.1;
  return put;
}

absl::Status ShareMemory(const char* address) {
  const auto connected = ck::Client::Connect(address);
  if (!connected.ok()) return connected.status();
  ck::Client* const client = connected->get();
  const ck::PutRequest put = Request();
  ck::GetRequest get;
  get.model = put.model, get.prompt = put.prompt, get.accept = ck::Accept::LeastLossy();
  std::vector<ck::LayerArrays> layers(kLayers);

  // [readme]
  auto region = client->AllocateRegion(2 * kLayers * kTensorBytes);  // the model computes K and V into it
  if (!region.ok()) return region.status();
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    const auto tensors = (*region)->bytes().subspan(2 * layer * kTensorBytes, 2 * kTensorBytes);
    layers[layer].keys = tensors.subspan(0, kTensorBytes);
    layers[layer].values = tensors.subspan(kTensorBytes);
  }
  auto stored = client->Put(put, layers);  // the same call as ever: the server reads kept rows where they are
  if (!stored.ok()) return stored.status();
  get.mapped = true;  // nothing is copied; with get.region = region->get() the entry is written there
  auto entry = client->Get(get);
  // [/readme]
  if (!entry.ok()) return entry.status();
  std::printf("%lld of %lld tokens kept, mapped\n", static_cast<long long>(entry->Find(0, "k")->row_count),
              static_cast<long long>(entry->header.token_count));
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const absl::Status status = ShareMemory(argv[1]);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
