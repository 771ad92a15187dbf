// Arithmetic of kernels against <cmath> in float64.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/common/half.h"
#include "kernels/cuda/score_params.h"
#include "kernels/simt/simt.h"
#include "tests/unit/simt/launch_for_test.h"

namespace chunkkv::testing {

template <typename Result>
struct MapParams {
  const float* arguments;
  Result* results;
  int count;
};

// results[i] = Function()(arguments[i])
template <typename Function, typename Result>
struct MapKernel {
  using Params = MapParams<Result>;
  static constexpr int kThreads = 128;
  static constexpr int kMinBlocksPerSm = 1;
  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    for (int at = simt::BlockIndex() * kThreads + simt::ThreadIndex(); at < params.count;
         at += simt::BlockCount() * kThreads) {
      params.results[at] = Function()(params.arguments[at]);
    }
  }
};

struct Exp2Function {
  CHUNKKV_DEVICE float operator()(float x) const { return simt::Exp2(x); }
};
struct ReciprocalFunction {
  CHUNKKV_DEVICE float operator()(float x) const { return simt::Reciprocal(x); }
};
struct Log2Function {
  CHUNKKV_DEVICE float operator()(float x) const { return simt::Log2(x); }
};
struct TanhFunction {
  CHUNKKV_DEVICE float operator()(float x) const { return cuda::Tanh(x); }
};
struct ToF16Function {
  CHUNKKV_DEVICE uint16_t operator()(float x) const { return simt::ToF16(x).bits; }
};
struct ToBF16Function {
  CHUNKKV_DEVICE uint16_t operator()(float x) const { return simt::ToBF16(x).bits; }
};
struct FromF16Function {
  CHUNKKV_DEVICE float operator()(float x) const {
    return simt::ToFloat(simt::F16{static_cast<uint16_t>(static_cast<uint32_t>(x))});
  }
};
struct FromBF16Function {
  CHUNKKV_DEVICE float operator()(float x) const {
    return simt::ToFloat(simt::BF16{static_cast<uint16_t>(static_cast<uint32_t>(x))});
  }
};

template <typename Function, typename Result = float>
std::vector<Result> Map(const std::vector<float>& arguments) {
  DeviceArray<float> from(arguments);
  DeviceArray<Result> to{std::vector<Result>(arguments.size())};
  LaunchForTest<MapKernel<Function, Result>>({from.data(), to.data(), static_cast<int>(arguments.size())}, 4);
  return to.Values();
}

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Distance of the next float32 at `exact`.
double UnitAt(double exact) { return std::ldexp(1.0, std::max(std::ilogb(exact), -126) - 23); }

std::vector<float> Uniform(float least, float most, int count) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(least, most);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

TEST(SimtArithmeticTest, Exp2IsWithinTwoUnits) {
  std::vector<float> arguments = Uniform(-125.9f, 127.9f, 20000);
  for (const float near_zero : Uniform(-1e-3f, 1e-3f, 2000)) arguments.push_back(near_zero);
  for (int i = -125; i < 128; ++i) arguments.push_back(static_cast<float>(i));
  const std::vector<float> results = Map<Exp2Function>(arguments);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const double exact = std::exp2(double{arguments[i]});
    ASSERT_NEAR(results[i], exact, 2 * UnitAt(exact)) << arguments[i];
  }
}

TEST(SimtArithmeticTest, Exp2EndsAtZeroAndInf) {
  const std::vector<float> results = Map<Exp2Function>({-127, -1000, -1e30f, -kInf, 128, 1e30f, kInf, kNan, 0, -0.0f});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(results[i], 0) << i;
  for (int i = 4; i < 7; ++i) EXPECT_EQ(results[i], kInf) << i;
  EXPECT_TRUE(std::isnan(results[7]));
  EXPECT_EQ(results[8], 1);
  EXPECT_EQ(results[9], 1);
}

TEST(SimtArithmeticTest, ReciprocalIsWithinOneUnit) {
  std::mt19937 random(7);
  std::vector<float> arguments = {1, 2, 3, -7, 0x1p125f, -0x1p-120f};
  for (int i = 0; i < 2000; ++i) {
    const int exponent = static_cast<int>(random() % 200) - 100;
    arguments.push_back(std::ldexp(1.0f + static_cast<float>(random() % 1000) / 1000, exponent));
  }
  const std::vector<float> results = Map<ReciprocalFunction>(arguments);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const double exact = 1.0 / arguments[i];
    EXPECT_NEAR(results[i], exact, UnitAt(exact)) << arguments[i];
  }
  EXPECT_EQ(Map<ReciprocalFunction>({kInf, 0x1.8p126f}), (std::vector<float>{0, 0}));
}

TEST(SimtArithmeticTest, Log2IsWithinItsBound) {
  std::vector<float> arguments = Uniform(0.5f, 2.0f, 10000);
  for (const float exponent : Uniform(-125, 127, 10000)) arguments.push_back(std::exp2(exponent));
  const std::vector<float> results = Map<Log2Function>(arguments);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const double exact = std::log2(double{arguments[i]});
    ASSERT_NEAR(results[i], exact, std::max(1e-7, 2 * UnitAt(exact))) << arguments[i];
  }
  const std::vector<float> ends = Map<Log2Function>({0, kInf, -1, kNan});
  EXPECT_EQ(ends[0], -kInf);
  EXPECT_EQ(ends[1], kInf);
  EXPECT_TRUE(std::isnan(ends[2]));
  EXPECT_TRUE(std::isnan(ends[3]));
}

TEST(SimtArithmeticTest, TanhIsWithinTwoUnits) {
  std::vector<float> arguments = Uniform(-12, 12, 40000);
  for (const float x : Uniform(-0.7f, 0.7f, 20000)) arguments.push_back(x);
  for (const float exponent : Uniform(-120, 0, 5000)) arguments.push_back(std::exp2(exponent));
  const std::vector<float> results = Map<TanhFunction>(arguments);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const double exact = std::tanh(double{arguments[i]});
    ASSERT_NEAR(results[i], exact, 2 * UnitAt(exact)) << arguments[i];
    ASSERT_LE(std::abs(results[i]), 1);
  }
  const std::vector<float> ends = Map<TanhFunction>({0, 1e30f, -1e30f, kInf, -kInf, kNan});
  EXPECT_EQ(ends[0], 0);
  EXPECT_EQ(ends[1], 1);
  EXPECT_EQ(ends[2], -1);
  EXPECT_EQ(ends[3], 1);
  EXPECT_EQ(ends[4], -1);
  EXPECT_TRUE(std::isnan(ends[5]));
}

TEST(SimtArithmeticTest, ConvertsEvery16BitPatternToFloat) {
  std::vector<float> patterns(1 << 16);
  for (int i = 0; i < 1 << 16; ++i) patterns[i] = static_cast<float>(i);
  const std::vector<float> of_f16 = Map<FromF16Function>(patterns);
  const std::vector<float> of_bf16 = Map<FromBF16Function>(patterns);
  for (int i = 0; i < 1 << 16; ++i) {
    for (const auto& [ours, exact] : {std::pair{of_f16[i], F16ToFloat(static_cast<uint16_t>(i))},
                                      std::pair{of_bf16[i], Bf16ToFloat(static_cast<uint16_t>(i))}}) {
      if (std::isnan(exact)) {
        ASSERT_TRUE(std::isnan(ours)) << i;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(ours), std::bit_cast<uint32_t>(exact)) << i;
      }
    }
  }
}

TEST(SimtArithmeticTest, RoundsTo16BitsAsTheHostDoes) {
  // Every 16-bit value, what lies halfway between two of them, and the floats next to both.
  std::vector<float> arguments = Uniform(-70000, 70000, 2000);
  for (uint32_t i = 0; i < 1 << 16; i += 3) {
    for (const uint32_t bits : {i << 16, (i << 16) + 0x8000}) {
      for (const uint32_t next : {bits, bits + 1, bits - 1}) arguments.push_back(std::bit_cast<float>(next));
    }
    const uint32_t of_f16 = std::bit_cast<uint32_t>(F16ToFloat(static_cast<uint16_t>(i)));
    for (const uint32_t bits : {of_f16, of_f16 + 0x1000}) {
      for (const uint32_t next : {bits, bits + 1, bits - 1}) arguments.push_back(std::bit_cast<float>(next));
    }
  }
  for (uint32_t i = 0; i < 2100; ++i) arguments.push_back(static_cast<float>(i) * 0x1p-25f);  // f16's subnormals
  const std::vector<uint16_t> f16 = Map<ToF16Function, uint16_t>(arguments);
  const std::vector<uint16_t> bf16 = Map<ToBF16Function, uint16_t>(arguments);
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (std::isnan(arguments[i])) {  // any NaN will do
      ASSERT_TRUE(std::isnan(F16ToFloat(f16[i])) && std::isnan(Bf16ToFloat(bf16[i])));
      continue;
    }
    ASSERT_EQ(f16[i], FloatToF16(arguments[i])) << arguments[i];
    ASSERT_EQ(bf16[i], FloatToBf16(arguments[i])) << arguments[i];
  }
}

}  // namespace chunkkv::testing
