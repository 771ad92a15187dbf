#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "kernels/cuda/fast_divisor.h"
#include "tests/unit/simt/launch_for_test.h"

namespace chunkkv::testing {

struct DivisionParams {
  const cuda::FastDivisor* divisors;
  const uint32_t* numerators;  // [count, kNumerators]
  uint32_t* quotients;         // the same
  int count;
};

struct DivisionKernel {
  using Params = DivisionParams;
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocksPerSm = 1;
  static constexpr int kNumerators = 16;
  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    for (int at = simt::BlockIndex() * kThreads + simt::ThreadIndex(); at < params.count * kNumerators;
         at += simt::BlockCount() * kThreads) {
      params.quotients[at] = params.divisors[at / kNumerators].Divide(params.numerators[at]);
    }
  }
};

// Numerators where a quotient changes, at both ends and in between.
void ExpectQuotients(const std::vector<uint32_t>& divisors) {
  constexpr uint32_t kMost = (uint32_t{1} << 31) - 1;
  std::mt19937 random(1);
  std::vector<cuda::FastDivisor> fast;
  std::vector<uint32_t> numerators;
  for (const uint32_t divisor : divisors) {
    fast.push_back(cuda::MakeFastDivisor(divisor));
    const uint32_t last = kMost / divisor * divisor;  // the largest multiple
    const uint32_t middle = random() % (kMost / divisor + 1) * divisor;
    for (const uint32_t n : {0u, 1u, divisor - 1, divisor, divisor + 1, last - 1, last, kMost, kMost - 1, middle,
                             middle - 1, uint32_t{1} << 16, (uint32_t{1} << 16) - 1, uint32_t{1} << 30,
                             static_cast<uint32_t>(random()), static_cast<uint32_t>(random())}) {
      numerators.push_back(n & kMost);
    }
  }
  DeviceArray<cuda::FastDivisor> device_divisors(fast);
  DeviceArray<uint32_t> device_numerators(numerators);
  DeviceArray<uint32_t> device_quotients{std::vector<uint32_t>(numerators.size())};
  LaunchForTest<DivisionKernel>(
      {device_divisors.data(), device_numerators.data(), device_quotients.data(), static_cast<int>(divisors.size())},
      4);
  const std::vector<uint32_t> quotients = device_quotients.Values();
  for (size_t i = 0; i < numerators.size(); ++i) {
    const uint32_t divisor = divisors[i / DivisionKernel::kNumerators];
    ASSERT_EQ(quotients[i], numerators[i] / divisor) << numerators[i] << " / " << divisor;
  }
}

TEST(SimtFastDivisorTest, DividesBySmallNumbers) {
  std::vector<uint32_t> divisors;
  for (uint32_t divisor = 1; divisor <= 4096; ++divisor) divisors.push_back(divisor);
  ExpectQuotients(divisors);
}

TEST(SimtFastDivisorTest, DividesByNumbersOfAnySize) {
  std::vector<uint32_t> divisors;
  for (uint32_t power = uint32_t{1} << 12; power < uint32_t{1} << 31; power *= 2) {
    divisors.insert(divisors.end(), {power - 1, power, power + 1});
  }
  divisors.push_back((uint32_t{1} << 31) - 1);
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) divisors.push_back(1 + static_cast<uint32_t>(random()) % ((uint32_t{1} << 31) - 1));
  ExpectQuotients(divisors);
}

}  // namespace chunkkv::testing
