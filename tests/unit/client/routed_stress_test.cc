// Many threads put and get while replicas are killed, drained and added.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/unit/client/routed_cluster.h"

namespace chunkkv::client {
namespace {

constexpr int kChanges = 10, kServedBetween = 30;  // a slow machine serves as much between two changes as a fast one
constexpr int kThreads = 6;
constexpr uint32_t kSeeds = 30;

TEST(RoutedStressTest, NoWrongByteNoFailureAndNoHang) {
  RoutedCluster cluster;
  RoutedOptions options = cluster.resolver().Options();
  options.now = std::chrono::steady_clock::now;
  options.resolve_every = options.pass_over = std::chrono::milliseconds(20);
  options.longest_pass_over = std::chrono::milliseconds(200);
  const std::unique_ptr<RoutedClient> client = *RoutedClient::Connect({kClusterName}, options);
  std::vector<ToyCache> caches;
  for (uint32_t seed = 0; seed < kSeeds; ++seed) caches.emplace_back(100, seed);

  std::atomic<bool> is_over = false;
  std::atomic<int> served = 0, lost = 0;
  const auto work = [&](uint32_t number) {
    std::minstd_rand draw(number + 1);
    CallOptions call;
    call.timeout = std::chrono::seconds(20);
    while (!is_over) {
      const ToyCache& cache = caches[draw() % kSeeds];
      if (draw() % 5 < 2) {
        const auto put = client->Put(cache.Request(Policy::kFull), cache.Arrays(false), call);
        if (absl::IsUnavailable(put.status())) {
          ++lost;
        } else {
          EXPECT_TRUE(put.ok()) << put.status();
        }
        continue;
      }
      const auto entry = client->Get(GetOf(cache), call);
      if (absl::IsNotFound(entry.status())) continue;
      if (absl::IsUnavailable(entry.status())) {
        ++lost;
        continue;
      }
      ASSERT_TRUE(entry.ok()) << entry.status();
      EXPECT_TRUE(IsWhole(*entry, cache));
      ++served;
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t number = 0; number < kThreads; ++number) threads.emplace_back(work, number);
  std::minstd_rand draw;
  for (int changes = 0; changes < kChanges; ++changes) {
    const int enough = served + kServedBetween;
    while (served < enough && !HasFailure()) std::this_thread::yield();
    const std::vector<std::string> addresses = cluster.Addresses();
    if (addresses.size() < 3) cluster.Start();
    const std::string& victim = addresses[draw() % addresses.size()];
    changes % 2 == 0 ? cluster.Kill(victim) : cluster.Stop(victim);
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(lost, served / 5) << "calls that found each replica just as it ended";
}

}  // namespace
}  // namespace chunkkv::client
