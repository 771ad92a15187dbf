// The emulation's tables of which lane holds what, against two other statements of the same.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "kernels/common/half.h"
#include "kernels/simt/emulation/mma_fragments.h"

namespace chunkkv::simt::emulation {
namespace {

struct Operand {
  const char* name;
  MatrixPlace (*place)(int lane, int i);
  int elements;  // a lane
  int rows;
  int columns;
};
constexpr Operand kA = {"A", PlaceInA, 8, 16, 16};
constexpr Operand kB = {"B", PlaceInB, 4, 16, 8};
constexpr Operand kC = {"C", PlaceInC, 4, 16, 8};

// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type", formulas as printed there.
MatrixPlace OfManual(const Operand& operand, int laneid, int i) {
  const int groupID = laneid >> 2;
  const int threadID_in_group = laneid % 4;
  const int pair = (threadID_in_group * 2) + (i & 0x1);
  if (operand.name[0] == 'A') {
    const int row = (0 <= i && i < 2) || (4 <= i && i < 6) ? groupID : groupID + 8;
    return {row, i < 4 ? pair : pair + 8};
  }
  if (operand.name[0] == 'B') return {i < 2 ? pair : pair + 8, groupID};
  return {i < 2 ? groupID : groupID + 8, pair};
}

// The same as strides: index of an element, M or N first, from the digits of lane (4, 8) and i (2, 2, 2).
// Source: CUTLASS, cute/atom/mma_traits_sm80.hpp, MMA_Traits<SM80_16x8x16_F32F16F16F32_TN>.
MatrixPlace OfCutlass(const Operand& operand, int lane, int i) {
  const auto index = [&](int lane4, int lane8, int i0, int i1, int i2) {
    return lane % 4 * lane4 + lane / 4 * lane8 + i % 2 * i0 + i / 2 % 2 * i1 + i / 4 * i2;
  };
  if (operand.name[0] == 'A') {
    const int at = index(32, 1, 16, 8, 128);
    return {at % 16, at / 16};
  }
  if (operand.name[0] == 'B') {
    const int at = index(16, 1, 8, 64, 0);
    return {at / 8, at % 8};
  }
  const int at = index(32, 1, 16, 8, 0);
  return {at % 16, at / 16};
}

TEST(EmulationMmaFragmentsTest, AgreeWithTheManualAndWithCutlass) {
  for (const Operand& operand : {kA, kB, kC}) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < operand.elements; ++i) {
        SCOPED_TRACE(::testing::Message() << operand.name << ", lane " << lane << ", element " << i);
        const MatrixPlace place = operand.place(lane, i);
        for (const MatrixPlace& expected : {OfManual(operand, lane, i), OfCutlass(operand, lane, i)}) {
          EXPECT_EQ(place.row, expected.row);
          EXPECT_EQ(place.column, expected.column);
        }
      }
    }
  }
}

TEST(EmulationMmaFragmentsTest, HoldEachElementOnce) {
  for (const Operand& operand : {kA, kB, kC}) {
    std::set<std::pair<int, int>> places;
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < operand.elements; ++i) {
        const MatrixPlace place = operand.place(lane, i);
        ASSERT_TRUE(0 <= place.row && place.row < operand.rows && 0 <= place.column && place.column < operand.columns);
        EXPECT_TRUE(places.emplace(place.row, place.column).second) << operand.name << ", lane " << lane;
      }
    }
    EXPECT_EQ(static_cast<int>(places.size()), operand.rows * operand.columns) << operand.name;
  }
}

// A matrix with one 1 in A and one in B has one product, and only where the row of A meets the column of B.
TEST(EmulationMmaFragmentsTest, OneElementOfEachGivesOneProduct) {
  const uint16_t one = FloatToF16(1);
  for (int element = 0; element < 32 * 8; ++element) {
    const MatrixPlace in_a = OfManual(kA, element / 8, element % 8);
    std::vector<MmaOperands> operands(32, MmaOperands{});
    operands[element / 8].a[element % 8 / 2] = uint32_t{one} << element % 2 * 16;
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        // Row k of B holds k + 1 in column 5, 0 elsewhere.
        const MatrixPlace in_b = OfManual(kB, lane, i);
        const uint32_t value = in_b.column == 5 ? FloatToF16(static_cast<float>(in_b.row + 1)) : 0;
        operands[lane].b[i / 2] |= value << i % 2 * 16;
      }
    }
    MultiplyF16(reinterpret_cast<std::byte*>(operands.data()));
    float product[16][8];
    std::memcpy(product, operands.data(), sizeof product);
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 8; ++column) {
        const bool is_met = row == in_a.row && column == 5;
        ASSERT_EQ(product[row][column], is_met ? static_cast<float>(in_a.column + 1) : 0.0f)
            << "element " << element << ", row " << row << ", column " << column;
      }
    }
  }
}

}  // namespace
}  // namespace chunkkv::simt::emulation
