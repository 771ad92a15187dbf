#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "kernels/common/half.h"
#include "kernels/simt/simt.h"
#include "tests/unit/simt/launch_for_test.h"

namespace chunkkv::testing {

struct MmaParams {
  const uint16_t* a;  // [16, 16]
  const uint16_t* b;  // [16, 8]
  float* c;           // [16, 8]: start and result
};

// c += a * b by one warp, operands placed by the formulas of the PTX manual.
template <typename Element>
struct MmaKernel {
  using Params = MmaParams;
  static constexpr int kThreads = 32;
  static constexpr int kMinBlocksPerSm = 1;
  static size_t SharedBytes(const Params&) { return 0; }

  CHUNKKV_DEVICE static uint32_t Pair(uint16_t low, uint16_t high) { return low | uint32_t{high} << 16; }

  CHUNKKV_DEVICE static void Run(const Params& params) {
    const int group = simt::Lane() >> 2;
    const int in_group = simt::Lane() % 4;
    uint32_t a[4];
    for (int r = 0; r < 4; ++r) {
      const int at = (group + r % 2 * 8) * 16 + in_group * 2 + r / 2 * 8;
      a[r] = Pair(params.a[at], params.a[at + 1]);
    }
    uint32_t b[2];
    for (int r = 0; r < 2; ++r) {
      const int row = in_group * 2 + r * 8;
      b[r] = Pair(params.b[row * 8 + group], params.b[(row + 1) * 8 + group]);
    }
    float c[4];
    for (int i = 0; i < 4; ++i) c[i] = params.c[(group + i / 2 * 8) * 8 + in_group * 2 + i % 2];
    simt::Mma<Element>(c, a, b[0], b[1]);
    for (int i = 0; i < 4; ++i) params.c[(group + i / 2 * 8) * 8 + in_group * 2 + i % 2] = c[i];
  }
};

template <typename Element>
void ExpectProduct(uint16_t (*from_float)(float), float (*to_float)(uint16_t), uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<uint16_t> a(16 * 16);
  std::vector<uint16_t> b(16 * 8);
  std::vector<float> c(16 * 8);
  for (uint16_t& value : a) value = from_float(normal(random));
  for (uint16_t& value : b) value = from_float(normal(random));
  for (float& value : c) value = normal(random);
  DeviceArray<uint16_t> device_a(a);
  DeviceArray<uint16_t> device_b(b);
  DeviceArray<float> device_c(c);
  LaunchForTest<MmaKernel<Element>>({device_a.data(), device_b.data(), device_c.data()}, 1);
  const std::vector<float> result = device_c.Values();
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      double sum = c[row * 8 + column];
      double magnitude = std::abs(sum);
      for (int k = 0; k < 16; ++k) {
        const double product = double{to_float(a[row * 16 + k])} * to_float(b[k * 8 + column]);
        sum += product;
        magnitude += std::abs(product);
      }
      // Hardware adds with a few bits beyond float32 and truncates; its order is its own.
      EXPECT_NEAR(result[row * 8 + column], sum, 0x1p-20 * magnitude) << "row " << row << ", column " << column;
    }
  }
}

TEST(SimtMmaTest, MultipliesF16) {
  for (uint32_t seed = 0; seed < 8; ++seed) ExpectProduct<simt::F16>(FloatToF16, F16ToFloat, seed);
}

TEST(SimtMmaTest, MultipliesBf16) {
  for (uint32_t seed = 0; seed < 8; ++seed) ExpectProduct<simt::BF16>(FloatToBf16, Bf16ToFloat, seed);
}

}  // namespace chunkkv::testing
