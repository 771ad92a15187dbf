// What the server does with the network: puts and gets of large entries against raw TCP, all over loopback in one run.
//
//   service_bench [rounds]
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "service/base/check.h"
#include "service/rpc/wire_bytes.h"
#include "tests/bench/service/bulk_client.h"
#include "tests/bench/service/raw_tcp.h"
#include "tests/support/child_process.h"
#include "tests/support/put_client.h"

namespace chunkkv::bench {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// Of one transfer. The processor time is of both sides, and is what other programs on the machine lengthen least.
struct Cost {
  double seconds = 0;
  double cpu_seconds = 0;
};

struct Rate {
  double median_gb_s = 0;
  double spread = 0;  // (third quartile - first quartile) / median
  double cpu_s_per_gb = 0;
};

Rate RateOf(std::vector<Cost> costs, int64_t bytes) {
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  const auto quartile = [&](auto member, size_t quarter) {
    std::sort(costs.begin(), costs.end(), [&](const Cost& a, const Cost& b) { return a.*member < b.*member; });
    return costs[(costs.size() - 1) * quarter / 4].*member;
  };
  const double median = quartile(&Cost::seconds, 2);
  return {gigabytes / median, (quartile(&Cost::seconds, 3) - quartile(&Cost::seconds, 1)) / median,
          quartile(&Cost::cpu_seconds, 2) / gigabytes};
}

double CpuSeconds(pid_t pid) {
  clockid_t clock;
  timespec time;
  CHUNKKV_CHECK(clock_getcpuclockid(pid, &clock) == 0);
  CHUNKKV_CHECK(clock_gettime(clock, &time) == 0);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Of this process and the server's.
Cost CostOf(pid_t server, const std::function<void()>& body) {
  const double cpu = CpuSeconds(0) + CpuSeconds(server);
  const auto begin = std::chrono::steady_clock::now();
  body();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
          CpuSeconds(0) + CpuSeconds(server) - cpu};
}

void Print(const char* name, const Rate& rate, const Rate& tcp) {
  std::printf("%-34s %5.2f GB/s  spread %3.0f %%  %4.0f %% of raw TCP  %5.2f cpu s/GB\n", name, rate.median_gb_s,
              100 * rate.spread, 100 * rate.median_gb_s / tcp.median_gb_s, rate.cpu_s_per_gb);
}

// bf16, 8 KV heads of 128: 4 KiB a token and layer.
PutRequest BaseRequest(int32_t layer_count, int64_t token_count) {
  AttentionRun attention;
  attention.query_head_count = 8;
  attention.kv_head_count = 8;
  attention.key_head_size = attention.value_head_size = 128;
  attention.key_dtype = attention.value_dtype = DType::kBF16;
  PutRequest request = SmallRequest();
  request.layout = {AttentionLayers(0, layer_count, attention)};
  request.model.layer_count = request.shard.layer_count = layer_count;
  request.model.kv_head_count = request.shard.kv_head_count = 8;
  request.model.key_head_size = request.model.value_head_size = 128;
  request.token_count = token_count;
  request.spec = CompactionSpec();
  request.score_source = ScoreSource::kNone;
  request.score_dtype = DType::kBF16;
  return request;
}

// Makes room for the next put of the same key.
void DeleteAll(v1::KvCacheService::Stub& stub) {
  v1::TrimCachesRequest request;
  request.set_fingerprint(rpc::ToString(Fingerprint(BaseRequest(32, 1).model)));
  v1::TrimCachesResponse response;
  grpc::ClientContext context;
  CHUNKKV_CHECK(stub.TrimCaches(&context, request, &response).ok());
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
