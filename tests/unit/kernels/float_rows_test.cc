#include "kernels/cpu/float_rows.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/common/half.h"
#include "tests/unit/kernels/implementations.h"

namespace chunkkv::cpu {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(HalfTest, ReadsNumbersOfEveryKind) {
  EXPECT_EQ(F16ToFloat(0x3c00), 1.0f);
  EXPECT_EQ(F16ToFloat(0xc000), -2.0f);
  EXPECT_EQ(F16ToFloat(0x7bff), 65504.0f);
  EXPECT_EQ(F16ToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(F16ToFloat(0x03ff), 1023 * 0x1p-24f);
  EXPECT_EQ(F16ToFloat(0x7c00), kInf);
  EXPECT_EQ(F16ToFloat(0xfc00), -kInf);
  EXPECT_TRUE(std::isnan(F16ToFloat(0x7e01)));
  EXPECT_TRUE(std::signbit(F16ToFloat(0x8000)));
  EXPECT_EQ(Bf16ToFloat(0x3f80), 1.0f);
  EXPECT_EQ(Bf16ToFloat(0xff80), -kInf);
}

TEST(HalfTest, RoundsToNearestWithTiesToEven) {
  EXPECT_EQ(FloatToF16(1.0f + 0x1p-11f), 0x3c00);
  EXPECT_EQ(FloatToF16(1.0f + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(FloatToF16(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToF16(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToF16(0x1p-25f), 0x0000);
  EXPECT_EQ(FloatToF16(0x1.8p-25f), 0x0001);
  EXPECT_EQ(FloatToF16(0x1.ffcp-15f), 0x0400) << "a subnormal that rounds to the least normal number";
  EXPECT_EQ(FloatToBf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(FloatToBf16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_EQ(FloatToBf16(std::numeric_limits<float>::max()), 0x7f80);
}

TEST(HalfTest, WritesWhatItReads) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if (!std::isnan(F16ToFloat(half))) {
      EXPECT_EQ(FloatToF16(F16ToFloat(half)), half);
    }
    if (!std::isnan(Bf16ToFloat(half))) {
      EXPECT_EQ(FloatToBf16(Bf16ToFloat(half)), half);
    }
  }
  EXPECT_TRUE(std::isnan(F16ToFloat(FloatToF16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(std::bit_cast<float>(0x7f800001u)))));
}

class FloatRowsTest : public testing::PerImplementation {};
CHUNKKV_FOR_EACH_IMPLEMENTATION(FloatRowsTest);

TEST_P(FloatRowsTest, ReadEveryHalfAsTheScalarCodeDoes) {
  std::vector<std::byte> halves(0x10000 * 2 + 1);
  for (uint32_t bits = 0; bits < 0x10000; ++bits) std::memcpy(&halves[1 + 2 * bits], &bits, 2);
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<float> floats(0x10000);
    ToFloat(halves.data() + 1, dtype, floats.size(), floats.data());
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
      const float expected = LoadElement(halves.data() + 1, dtype, bits);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(floats[bits])) << bits;
      } else {
        EXPECT_EQ(std::bit_cast<uint32_t>(floats[bits]), std::bit_cast<uint32_t>(expected)) << bits;
      }
    }
  }
}

TEST_P(FloatRowsTest, WriteAsTheScalarCodeDoes) {
  std::vector<float> floats;
  for (uint64_t bits = 0; bits < 0x100000000u; bits += 40503)
    floats.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  for (uint32_t half = 0; half < 0x10000; ++half) {  // halfway between two numbers
    floats.push_back(std::bit_cast<float>((half << 16) | 0x8000u));
    floats.push_back(F16ToFloat(static_cast<uint16_t>(half)) * (1 + 0x1p-11f));
  }
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<std::byte> halves(floats.size() * 2);
    FromFloat(floats.data(), dtype, floats.size(), halves.data());
    for (size_t i = 0; i < floats.size(); ++i) {
      std::byte expected[sizeof(float)];
      StoreElement(floats[i], expected, dtype, 0);
      if (std::isnan(floats[i])) {
        EXPECT_TRUE(std::isnan(LoadElement(halves.data(), dtype, i)));
      } else {
        EXPECT_EQ(std::memcmp(expected, &halves[2 * i], 2), 0) << DTypeName(dtype) << ' ' << floats[i];
      }
    }
  }
}

TEST_P(FloatRowsTest, FindNonFiniteElementsAnywhere) {
  for (const size_t count : {1, 7, 8, 9, 33}) {
    for (size_t at = 0; at < count; ++at) {
      std::vector<float> values(count, 3e38f);
      EXPECT_TRUE(AllFinite(values.data(), count));
      values[at] = -kInf;
      EXPECT_FALSE(AllFinite(values.data(), count));
      std::vector<float> sums(count, 1.0f);
      EXPECT_TRUE(
          std::isnan(AddRow(reinterpret_cast<const std::byte*>(values.data()), DType::kF32, count, sums.data())));
      values.assign(count, 2.0f);
      values[at] = -1.0f;
      sums.assign(count, 1.0f);
      EXPECT_EQ(AddRow(reinterpret_cast<const std::byte*>(values.data()), DType::kF32, count, sums.data()), -1.0f);
      for (size_t i = 0; i < count; ++i) EXPECT_EQ(sums[i], i == at ? 0.0f : 3.0f);
    }
  }
}

}  // namespace
}  // namespace chunkkv::cpu
