#include "client/cpp/stand_back.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "service/base/random.h"

namespace chunkkv::client {
namespace {

constexpr double kJitter = 0.2;

}  // namespace

void StandBack::NoteFailure(Time now, const RoutedOptions& options) {
  if (!IsOver(now)) return;
  interval_ = std::min(std::max(2 * interval_, options.pass_over), options.longest_pass_over);
  until_ = now + std::chrono::duration_cast<Time::duration>(interval_ * (1 - kJitter * options.random()));
}

double UniformRandom() {
  constexpr int kMantissaBits = 53;
  uint64_t bits = 0;
  FillRandom(&bits, sizeof bits);
  return std::ldexp(static_cast<double>(bits >> (64 - kMantissaBits)), -kMantissaBits);
}

}  // namespace chunkkv::client
