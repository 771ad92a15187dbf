#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>
#include <vector>

#include "kernels/cuda/sincos.h"
#include "tests/unit/simt/launch_for_test.h"

namespace chunkkv::testing {

struct SinCosParams {
  const double* angles;
  double* sin;
  double* cos;
  int count;
};

struct SinCosKernel {
  using Params = SinCosParams;
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocksPerSm = 1;
  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    for (int at = simt::BlockIndex() * kThreads + simt::ThreadIndex(); at < params.count;
         at += simt::BlockCount() * kThreads) {
      const cuda::SinCos result = cuda::SinCosOf(params.angles[at]);
      params.sin[at] = result.sin;
      params.cos[at] = result.cos;
    }
  }
};

// Largest error of either over `angles`, in units of 2^-50.
void ExpectWithinBound(const std::vector<double>& angles) {
  DeviceArray<double> from(angles);
  DeviceArray<double> sin{std::vector<double>(angles.size())};
  DeviceArray<double> cos{std::vector<double>(angles.size())};
  LaunchForTest<SinCosKernel>({from.data(), sin.data(), cos.data(), static_cast<int>(angles.size())}, 4);
  const std::vector<double> sines = sin.Values();
  const std::vector<double> cosines = cos.Values();
  for (size_t i = 0; i < angles.size(); ++i) {
    // long double argument reduction of the C library is exact.
    const long double angle = angles[i];
    ASSERT_LE(std::fabs(sines[i] - std::sin(angle)), 0x1p-50L) << std::hexfloat << angles[i];
    ASSERT_LE(std::fabs(cosines[i] - std::cos(angle)), 0x1p-50L) << std::hexfloat << angles[i];
  }
}

std::vector<double> RandomAngles(double most, int count) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(-most, most);
  std::vector<double> angles(count);
  for (double& angle : angles) angle = uniform(random);
  return angles;
}

TEST(SimtSinCosTest, IsWithinItsBoundForAnglesOfPrompts) {
  ExpectWithinBound(RandomAngles(4, 20000));
  ExpectWithinBound(RandomAngles(0x1p21, 40000));
  ExpectWithinBound({0, -0.0, 1e-300, 0x1p-30, -0x1p-30, 1, -1, 0x1p21 - 1, -0x1p21 + 1});
}

TEST(SimtSinCosTest, IsWithinItsBoundNearMultiplesOfAQuarterTurn) {
  std::vector<double> angles;
  std::mt19937_64 random(2);
  std::vector<double> quarters;
  for (int n = -2000; n <= 2000; ++n) quarters.push_back(n);
  for (int n = 0; n < 5000; ++n) quarters.push_back(static_cast<double>(random() % 1335000));  // to 2^21
  for (const double n : quarters) {
    for (const double multiple : {n, n + 0.5}) {
      const double angle = multiple * (std::numbers::pi / 2);
      angles.insert(angles.end(), {angle, std::nextafter(angle, 1e30), std::nextafter(angle, -1e30)});
    }
  }
  ExpectWithinBound(angles);
}

TEST(SimtSinCosTest, IsWithinItsBoundForIntegers) {
  std::vector<double> angles;
  for (int n = 0; n < 1 << 21; n += 97) angles.insert(angles.end(), {double(n), -double(n)});
  ExpectWithinBound(angles);
}

TEST(SimtSinCosTest, IsWithinItsBoundToTheEndOfItsRange) { ExpectWithinBound(RandomAngles(0x1p40, 40000)); }

}  // namespace chunkkv::testing
