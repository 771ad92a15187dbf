// Server programs behind a name that a test resolves, and what routed clients put there.
#ifndef CHUNKKV_TESTS_UNIT_CLIENT_ROUTED_CLUSTER_H_
#define CHUNKKV_TESTS_UNIT_CLIENT_ROUTED_CLUSTER_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/cli/server_process.h"
#include "tests/unit/client/test_resolver.h"
#include "tests/unit/client/toy_cache.h"

namespace chunkkv::client {

inline constexpr char kClusterName[] = "dns:///kv.test:7421";

class RoutedCluster {
 public:
  explicit RoutedCluster(std::vector<std::string> options = {}) : options_(std::move(options)) {
    Start();
    Start();
  }

  std::string Start() {
    auto server = cli::ServerProcess::Start(CHUNKKV_SERVER_PROGRAM, options_);
    EXPECT_TRUE(server.ok()) << server.status();
    const std::string address = (*server)->address();
    servers_[address] = *std::move(server);
    resolver_.Set(Addresses());
    return address;
  }
  void Stop(const std::string& address) {
    servers_.erase(address);
    resolver_.Set(Addresses());
  }
  void Kill(const std::string& address) {
    servers_.at(address)->Kill();
    Stop(address);
  }

  std::vector<std::string> Addresses() const {
    std::vector<std::string> addresses;
    for (const auto& [address, server] : servers_) addresses.push_back(address);
    return addresses;
  }
  TestResolver& resolver() { return resolver_; }

 private:
  const std::vector<std::string> options_;
  TestResolver resolver_;
  std::map<std::string, std::unique_ptr<cli::ServerProcess>> servers_;
};

inline std::string KeyOf(const ToyCache& cache) { return RoutingKeyOf(cache.Request(Policy::kFull).prompt); }

inline GetRequest GetOf(const ToyCache& cache) {
  const PutRequest put = cache.Request(Policy::kFull);
  GetRequest request;
  request.model = put.model;
  request.prompt = put.prompt;
  return request;
}

inline absl::StatusOr<PutResult> PutInto(RoutedClient& client, const ToyCache& cache) {
  return client.Put(cache.Request(Policy::kFull), cache.Arrays(false));
}

// Whether the entry is the cache, byte for byte.
inline bool IsWhole(const CachedEntry& entry, const ToyCache& cache) {
  if (entry.layers.size() != kToyLayers) return false;
  for (int32_t layer = 0; layer < kToyLayers; ++layer) {
    if (layer == kToyVerbatimLayer) continue;
    const TensorView *keys = entry.Find(layer, "k"), *values = entry.Find(layer, "v");
    if (keys == nullptr || keys->bytes != AsBytes(cache.keys[layer])) return false;
    if (values == nullptr || values->bytes != AsBytes(cache.values[layer])) return false;
  }
  const TensorView* state = entry.Find(kToyVerbatimLayer, "state");
  return state != nullptr && state->bytes == AsBytes(cache.state);
}

}  // namespace chunkkv::client

#endif  // CHUNKKV_TESTS_UNIT_CLIENT_ROUTED_CLUSTER_H_
