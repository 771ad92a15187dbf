// What shared memory saves on one host: mapped and copying gets, and puts of 1 GiB from the client's own pages, against
// a bare round trip, memcpy and the same put inline, all in one run.
//
//   local_bench [rounds]
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "service/base/check.h"
#include "tests/bench/service/bulk_client.h"
#include "tests/bench/service/local_bulk_client.h"
#include "tests/bench/service/rates.h"
#include "tests/support/child_process.h"

namespace chunkkv::bench {
namespace {

constexpr int64_t kTokenBytes = 4096;  // of one layer of BaseRequest
constexpr int32_t kGetLayers = 4;
constexpr int kRoundTrips = 300;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Bench {
 public:
  // `flags`: of the server, beside its memory and its local socket.
  Bench(int rounds, const std::vector<std::string>& flags)
      : rounds_(rounds),
        socket_("/tmp/chunkkv-local-bench-" + std::to_string(getpid())),
        server_(CHUNKKV_SERVER, FlagsWith(flags)),
        channel_(NewChannel(server_.address())),
        stub_(v1::KvCacheService::NewStub(channel_)) {}

  void MappedGets() {
    std::printf("mapped get of a full entry, %d layers; %d round trips each\n", kGetLayers, kRoundTrips);
    std::vector<double> all;
    for (const int64_t size : {kMiB, 16 * kMiB, 256 * kMiB, 1024 * kMiB}) {
      const PutRequest request = BaseRequest(kGetLayers, size / kGetLayers / kTokenBytes);
      const Prompt prompt = MakePrompt(request);
      LocalBulkClient client(*stub_, socket_, size);
      client.Load(request, prompt);
      client.Put(request, prompt, 1);
      std::vector<double> bare, called, mapped;
      for (int i = 0; i < kRoundTrips; ++i) {
        std::unique_ptr<LocalBulkClient::Mapped> entry;
        bare.push_back(Seconds([&] { RoundTrip(); }));
        called.push_back(Seconds([&] { entry = client.GetMapped(request, 1); }));
        mapped.push_back(Seconds([&] { entry = client.GetMappedLocally(request, 1); }));
      }
      const auto entry = client.GetMappedLocally(request, 1);
      volatile std::byte touched{};
      const double touch = Seconds([&] {
        for (size_t at = 0; at < entry->bytes().size(); at += 4096) touched = entry->bytes()[at];
      });
      all.push_back(Median(mapped));
      std::printf(
          "  %5ld MiB: %5.1f us, %.2f x of a bare unary call of %.1f us (target 1.3 x); the first one, over gRPC, "
          "%.2f x; first touch %.2f ms\n",
          static_cast<long>(size / kMiB), 1e6 * all.back(), all.back() / Median(bare), 1e6 * Median(bare),
          Median(called) / Median(bare), 1e3 * touch);
      DeleteAll(*stub_, kGetLayers);
    }
    std::printf("  largest over smallest: %.2f x (target 1.2 x)\n",
                *std::max_element(all.begin(), all.end()) / *std::min_element(all.begin(), all.end()));
  }

  void CopyingGets() {
    const int64_t size = 1024 * kMiB;
    const PutRequest request = BaseRequest(32, size / 32 / kTokenBytes);
    const Prompt prompt = MakePrompt(request);
    LocalBulkClient client(*stub_, socket_, size);
    client.Load(request, prompt);
    client.Put(request, prompt, 1);
    std::vector<std::byte> from(size, std::byte{2});
    std::vector<Cost> copies, gets;
    for (int round = -1; round < rounds_; ++round) {
      const Cost copy = CostOf(server_pid(), [&] { std::memcpy(client.region().data(), from.data(), from.size()); });
      const Cost get = CostOf(server_pid(), [&] { client.GetInto(request, 1); });
      if (round < 0) continue;
      copies.push_back(copy);
      gets.push_back(get);
    }
    const Rate copy = RateOf(copies, size);
    const Rate get = RateOf(gets, size);
    std::printf(
        "get of 1 GiB into a region: %.2f GB/s, spread %.0f %%; memcpy %.2f GB/s, spread %.0f %%: %.0f %% "
        "(target 85 %%)\n",
        get.median_gb_s, 100 * get.spread, copy.median_gb_s, 100 * copy.spread,
        100 * get.median_gb_s / copy.median_gb_s);
    DeleteAll(*stub_);
  }

  void Puts(const char* name, ScoreSource source) {
    const int64_t size = 1024 * kMiB;
    PutRequest request = BaseRequest(32, size / 32 / kTokenBytes);
    request.spec.policy = source == ScoreSource::kNone ? Policy::kStreamingLlm : Policy::kChunkKv;
    request.spec.keep_ratio = 0.1;
    request.score_source = source;
    const Prompt prompt = MakePrompt(request);
    LocalBulkClient client(*stub_, socket_, size);
    client.Load(request, prompt);
    const PreparedPut prepared(request, prompt);
    std::vector<Cost> inline_puts, region_puts;
    for (int round = -1; round < rounds_; ++round) {
      const Cost by_region = CostOf(server_pid(), [&] { client.Put(request, prompt, 1); });
      const Cost sent = CostOf(server_pid(), [&] { prepared.Run({channel_}, 2); });
      DeleteAll(*stub_);
      if (round < 0) continue;
      region_puts.push_back(by_region);
      inline_puts.push_back(sent);
    }
    const Rate by_region = RateOf(region_puts, size);
    const Rate sent = RateOf(inline_puts, size);
    std::printf(
        "put of 1 GiB at keep 10 %%, %s: region %.2f GB/s, spread %.0f %%; inline %.2f GB/s, spread %.0f %%: "
        "%.1f x\n",
        name, by_region.median_gb_s, 100 * by_region.spread, sent.median_gb_s, 100 * sent.spread,
        by_region.median_gb_s / sent.median_gb_s);
  }

 private:
  std::vector<std::string> FlagsWith(const std::vector<std::string>& flags) const {
    std::vector<std::string> all = {"--host-memory",  "3GiB", "--scrub-bytes-per-second", "0",
                                    "--local-socket", socket_};
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }
  double Seconds(const std::function<void()>& body) const { return CostOf(server_pid(), body).seconds; }
  pid_t server_pid() const { return server_.process().pid(); }

  // A bare unary call: a list of the few regions there are.
  void RoundTrip() {
    grpc::ClientContext context;
    v1::ListRegionsResponse response;
    CHUNKKV_CHECK(stub_->ListRegions(&context, v1::ListRegionsRequest(), &response).ok());
  }

  const int rounds_;
  const std::string socket_;
  ServerProcess server_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::KvCacheService::Stub> stub_;
};

void Run(int rounds) {
  Bench(rounds, {"--map-entries"}).MappedGets();
  Bench bench(rounds, {});
  bench.CopyingGets();
  bench.Puts("streaming_llm (target 4 x)", ScoreSource::kNone);
  bench.Puts("TOKEN_SCORES (target 4 x)", ScoreSource::kTokenScores);
  bench.Puts("QUERY_WINDOW (no target)", ScoreSource::kQueryWindow);
}

}  // namespace
}  // namespace chunkkv::bench

int main(int argc, char** argv) {
  chunkkv::bench::Run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 5);
  return 0;
}
