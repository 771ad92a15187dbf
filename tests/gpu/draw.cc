#include "tests/gpu/draw.h"

#include <cstdio>
#include <cstdlib>

namespace chunkkv::testing {

uint32_t RunSeed() {
  static const uint32_t seed = [] {
    const char* said = std::getenv("GPU_TEST_SEED");
    const auto drawn =
        said != nullptr ? static_cast<uint32_t>(std::strtoul(said, nullptr, 10)) : std::random_device()();
    std::printf("GPU_TEST_SEED=%u\n", drawn);
    return drawn;
  }();
  return seed;
}

}  // namespace chunkkv::testing
