#include "kernels/simt/emulation/mma_fragments.h"

#include <cstring>

#include "kernels/common/half.h"

namespace chunkkv::simt::emulation {
namespace {

constexpr int kLanes = 32;

template <float (*kToFloat)(uint16_t)>
void Multiply(std::byte* values) {
  float a[16][16];
  float b[16][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    MmaOperands operands;
    std::memcpy(&operands, values + lane * sizeof operands, sizeof operands);
    for (int i = 0; i < 8; ++i) {
      const MatrixPlace place = PlaceInA(lane, i);
      a[place.row][place.column] = kToFloat(static_cast<uint16_t>(operands.a[i / 2] >> (i % 2 * 16)));
    }
    for (int i = 0; i < 4; ++i) {
      const MatrixPlace place = PlaceInB(lane, i);
      b[place.row][place.column] = kToFloat(static_cast<uint16_t>(operands.b[i / 2] >> (i % 2 * 16)));
    }
  }
  float c[16][8] = {};
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) c[row][column] += a[row][k] * b[k][column];
    }
  }
  static_assert(sizeof c <= kLanes * sizeof(MmaOperands));
  std::memcpy(values, c, sizeof c);
}

}  // namespace

MatrixPlace PlaceInA(int lane, int i) {
  const int group = lane / 4;
  const int in_group = lane % 4;
  return {i % 4 < 2 ? group : group + 8, in_group * 2 + i % 2 + (i < 4 ? 0 : 8)};
}

MatrixPlace PlaceInB(int lane, int i) {
  const int group = lane / 4;
  const int in_group = lane % 4;
  return {in_group * 2 + i % 2 + (i < 2 ? 0 : 8), group};
}

MatrixPlace PlaceInC(int lane, int i) {
  const int group = lane / 4;
  const int in_group = lane % 4;
  return {i < 2 ? group : group + 8, in_group * 2 + i % 2};
}

void MultiplyF16(std::byte* values) { Multiply<F16ToFloat>(values); }
void MultiplyBF16(std::byte* values) { Multiply<Bf16ToFloat>(values); }

}  // namespace chunkkv::simt::emulation
