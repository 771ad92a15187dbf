// What the server does with the network: puts and gets of large entries against raw TCP, all over loopback in one run.
//
//   service_bench [rounds]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "service/base/check.h"
#include "tests/bench/service/bulk_client.h"
#include "tests/bench/service/rates.h"
#include "tests/bench/service/raw_tcp.h"
#include "tests/support/child_process.h"
#include "tests/support/put_client.h"

namespace chunkkv::bench {
namespace {

void Print(const char* name, const Rate& rate, const Rate& tcp) {
  std::printf("%-34s %5.2f GB/s  spread %3.0f %%  %4.0f %% of raw TCP  %5.2f cpu s/GB\n", name, rate.median_gb_s,
              100 * rate.spread, 100 * rate.median_gb_s / tcp.median_gb_s, rate.cpu_s_per_gb);
}

void Run(int rounds) {
  ServerProcess server(CHUNKKV_SERVER, {"--host-memory", "1200MiB", "--scrub-bytes-per-second", "0"});
  const std::vector<std::shared_ptr<grpc::Channel>> channels = {NewChannel(server.address()),
                                                                NewChannel(server.address())};
  const auto stub = v1::KvCacheService::NewStub(channels[0]);
  const pid_t pid = server.process().pid();

  const PutRequest full = BaseRequest(32, 2048);
  const Prompt prompt = MakePrompt(full);
  const PreparedPut put(full, prompt);
  std::vector<std::byte> from(put.size_bytes(), std::byte{1});
  std::vector<std::byte> to(put.size_bytes() + kMiB);
  RawTcp tcp;
  std::vector<Cost> tcp_s, put_s, put_two_s, get_s;
  for (int round = -1; round < rounds; ++round) {  // the first warms up
    DeleteAll(*stub);
    const Cost raw = CostOf(pid, [&] { tcp.Transfer(from, to); });
    const Cost one = CostOf(pid, [&] { put.Run({channels[0]}, 1); });
    const Cost got = CostOf(pid, [&] { CHUNKKV_CHECK(RunGet(channels[0], full, 1, to) >= put.size_bytes()); });
    DeleteAll(*stub);
    const Cost two = CostOf(pid, [&] { put.Run(channels, 2); });
    if (round < 0) continue;
    tcp_s.push_back(raw);
    put_s.push_back(one);
    get_s.push_back(got);
    put_two_s.push_back(two);
  }
  const Rate raw = RateOf(tcp_s, put.size_bytes());
  std::printf("256 MiB, full, bf16, parts of 1 MiB, %d rounds\n", rounds);
  Print("raw TCP", raw, raw);
  Print("get (target 70 %)", RateOf(get_s, put.size_bytes()), raw);
  Print("put, one stream (target 50 %)", RateOf(put_s, put.size_bytes()), raw);
  Print("put, two streams (Attach)", RateOf(put_two_s, put.size_bytes()), raw);
  DeleteAll(*stub);

  PutRequest large = BaseRequest(32, 8192);
  large.spec.policy = Policy::kChunkKv;
  large.spec.keep_ratio = 0.1;
  large.score_source = ScoreSource::kQueryWindow;
  const Prompt large_prompt = MakePrompt(large);
  const PreparedPut large_put(large, large_prompt);
  v1::Committed committed;
  const double seconds = CostOf(pid, [&] { committed = large_put.Run({channels[0]}, 3); }).seconds;
  const int64_t layer_bytes = 8192 * 4096;
  std::printf(
      "LAYER_MAJOR put of %.0f MiB, chunk_kv at keep 10 %%: %.2f s, %.2f GB/s; staged at most %.2f layers "
      "(target 4); stored %.0f MiB; compaction %.2f s\n",
      static_cast<double>(large_put.size_bytes()) / kMiB, seconds,
      static_cast<double>(large_put.size_bytes()) / seconds / 1e9,
      static_cast<double>(committed.peak_staging_bytes()) / layer_bytes,
      static_cast<double>(committed.stored_bytes()) / kMiB, 1e-6 * committed.compaction_time_us());
  std::printf("resident memory of the server: at most %.0f MiB (budget 1200)\n",
              static_cast<double>(server.process().PeakResidentBytes()) / kMiB);
}

}  // namespace
}  // namespace chunkkv::bench

int main(int argc, char** argv) {
  chunkkv::bench::Run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 7);
  return 0;
}
