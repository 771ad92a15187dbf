#include "tests/bench/service/rates.h"

#include <time.h>

#include <algorithm>
#include <chrono>

#include "service/base/check.h"
#include "service/rpc/wire_bytes.h"
#include "tests/unit/session/put_prompt.h"

namespace chunkkv::bench {
namespace {

double CpuSeconds(pid_t pid) {
  clockid_t clock;
  timespec time;
  CHUNKKV_CHECK(clock_getcpuclockid(pid, &clock) == 0);
  CHUNKKV_CHECK(clock_gettime(clock, &time) == 0);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

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

Cost CostOf(pid_t server, const std::function<void()>& body) {
  const double cpu = CpuSeconds(0) + CpuSeconds(server);
  const auto begin = std::chrono::steady_clock::now();
  body();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
          CpuSeconds(0) + CpuSeconds(server) - cpu};
}

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

void DeleteAll(v1::KvCacheService::Stub& stub, int32_t layer_count) {
  v1::TrimCachesRequest request;
  request.set_fingerprint(rpc::ToString(Fingerprint(BaseRequest(layer_count, 1).model)));
  v1::TrimCachesResponse response;
  grpc::ClientContext context;
  CHUNKKV_CHECK(stub.TrimCaches(&context, request, &response).ok());
}

}  // namespace chunkkv::bench
