// Puts over a link: everything, against what was selected alone. Run by link_bench.sh, which makes the link.
//
//   link_bench <server address> <network device> [rounds]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "chunkkv/client/client.h"
#include "service/base/check.h"
#include "tests/bench/service/bulk_client.h"
#include "tests/bench/service/rates.h"

namespace chunkkv::bench {
namespace {

constexpr int32_t kLayers = 32;

struct Sent {
  double seconds = 0;
  int64_t bytes = 0;  // that left through the device: headers of all layers included
};

int64_t SentThrough(const std::string& device) {
  std::ifstream file("/sys/class/net/" + device + "/statistics/tx_bytes");
  int64_t bytes = 0;
  CHUNKKV_CHECK(static_cast<bool>(file >> bytes));
  return bytes;
}

template <typename Body>
Sent Measure(const std::string& device, Body body) {
  const int64_t before = SentThrough(device);
  const auto begin = std::chrono::steady_clock::now();
  body();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  return {time.count(), SentThrough(device) - before};
}

void Print(const char* name, std::vector<Sent> sent, int64_t full_bytes, const std::vector<Sent>* peer) {
  const auto by_time = [](const Sent& a, const Sent& b) { return a.seconds < b.seconds; };
  std::sort(sent.begin(), sent.end(), by_time);
  const Sent& median = sent[sent.size() / 2];
  const double spread = (sent[sent.size() * 3 / 4].seconds - sent[sent.size() / 4].seconds) / median.seconds;
  std::printf("%-20s %7.3f s, spread %3.0f %%, %7.1f MiB sent, %5.1f %% of K and V", name, median.seconds, 100 * spread,
              static_cast<double>(median.bytes) / kMiB,
              100 * static_cast<double>(median.bytes) / static_cast<double>(full_bytes));
  if (peer != nullptr) {
    std::vector<Sent> other = *peer;
    std::sort(other.begin(), other.end(), by_time);
    std::printf("; ends %.1f x sooner", other[other.size() / 2].seconds / median.seconds);
  }
  std::printf("\n");
}

void Run(const std::string& address, const std::string& device, int rounds) {
  const auto channel = NewChannel(address);
  const auto stub = v1::KvCacheService::NewStub(channel);
  PutRequest request = BaseRequest(kLayers, 8192);
  request.spec.policy = Policy::kChunkKv;
  request.spec.keep_ratio = 0.1;
  request.score_source = ScoreSource::kTokenScores;
  const Prompt prompt = MakePrompt(request);
  const PreparedPut everything(request, prompt);
  const auto client = client::Client::Connect(address);
  CHUNKKV_CHECK(client.ok());
  client::PutRequest selecting;
  selecting.model = request.model;
  selecting.prompt.key = request.key;
  selecting.layout = request.layout;
  selecting.token_count = request.token_count;
  selecting.spec = request.spec;
  selecting.score_source = ScoreSource::kTokenScores;
  selecting.send_mode = client::SendMode::kSelectThenSend;
  std::vector<client::LayerArrays> layers(kLayers);
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    layers[layer].keys = prompt[layer].tensors[0];
    layers[layer].values = prompt[layer].tensors[1];
    layers[layer].token_scores = prompt[layer].token_scores;
  }
  std::vector<Sent> all, selected;
  for (int round = -1; round < rounds; ++round) {  // the first warms up
    const Sent whole = Measure(device, [&] { everything.Run({channel}, 1); });
    DeleteAll(*stub, kLayers);
    const Sent kept = Measure(device, [&] { CHUNKKV_CHECK((*client)->Put(selecting, layers).ok()); });
    DeleteAll(*stub, kLayers);
    if (round < 0) continue;
    all.push_back(whole);
    selected.push_back(kept);
  }
  const int64_t full_bytes = FullBytes(request.layout, request.token_count);
  std::printf("put of %.0f MiB at keep 10 %% from token scores, %d rounds\n", static_cast<double>(full_bytes) / kMiB,
              rounds);
  Print("everything", all, full_bytes, nullptr);
  Print("select, then send", selected, full_bytes, &all);
}

}  // namespace
}  // namespace chunkkv::bench

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: link_bench <server address> <network device> [rounds]\n");
    return 2;
  }
  chunkkv::bench::Run(argv[1], argv[2], argc > 3 ? std::max(1, std::atoi(argv[3])) : 5);
  return 0;
}
