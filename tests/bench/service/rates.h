// What the benchmarks of the service share: times as rates, the entry that they move, room for the next one.
#ifndef CHUNKKV_TESTS_BENCH_SERVICE_RATES_H_
#define CHUNKKV_TESTS_BENCH_SERVICE_RATES_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "chunkkv/v1/kv_cache_service.grpc.pb.h"
#include "service/session/put_request.h"

namespace chunkkv::bench {

inline constexpr int64_t kMiB = int64_t{1} << 20;

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

Rate RateOf(std::vector<Cost> costs, int64_t bytes);

// Of this process and the server's.
Cost CostOf(pid_t server, const std::function<void()>& body);

// bf16, 8 KV heads of 128: 4 KiB a token and layer.
PutRequest BaseRequest(int32_t layer_count, int64_t token_count);

// Removes every entry of BaseRequest(layer_count, ...).
void DeleteAll(v1::KvCacheService::Stub& stub, int32_t layer_count = 32);

}  // namespace chunkkv::bench

#endif  // CHUNKKV_TESTS_BENCH_SERVICE_RATES_H_
